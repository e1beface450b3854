-- Whether there are facts of property $1 from before $2. Uses rollup_facts_property_no.
select 1
from rollup_facts
where property_no = $1 and first_time < $2
limit 1
