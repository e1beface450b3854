-- One part of segments: $1 their ids. Uses the primary key.
select segment_id, {part}
from rollup_segments
where segment_id = any($1)
