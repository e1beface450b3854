-- The segments of property $1 and rollups $2 that have events from $3 to before $4. Reads
-- rollup_segments_since from three days before, since no day is that long.
select segment_id, rollup_no, since, until, first_time, last_time, events
from rollup_segments
where property_no = $1
    and rollup_no = any($2)
    and since >= $3 - interval '3 days'
    and since < $4
    and first_time < $4
    and last_time >= $3
