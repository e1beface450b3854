-- The segments of property $1, without their parts.
select segment_id, rollup_no, since, until, first_time, last_time, events
from rollup_segments
where property_no = $1
