-- Since when each rollup of property $1 has every event.
select rollup_no, covered_since
from rollup_coverage
where property_no = $1
