-- The rollups that have every event, since $1 at the latest: property and rollup.
select property_no, rollup_no
from rollup_coverage
where covered_since <= $1
