-- Deletes segments: $1 their ids.
delete from rollup_segments
where segment_id = any($1)
