-- The segments of property $1 that may have events before $2.
select segment_id, rollup_no, since, until, first_time, last_time, events
from rollup_segments
where property_no = $1 and since < $2 and first_time < $2
