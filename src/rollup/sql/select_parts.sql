-- The parts from which everything of segments can be read: $1 their ids. Uses the primary key.
select segment_id, day, slots, slot_visitors
from rollup_segments
where segment_id = any($1)
