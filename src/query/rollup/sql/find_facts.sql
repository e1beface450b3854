-- Facts of property $1 that may have events from $2 to before $3. Uses rollup_facts_property_no.
select facts
from rollup_facts
where property_no = $1
    and first_time < $3
    and last_time >= $2
