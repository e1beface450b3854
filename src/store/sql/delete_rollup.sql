-- Drops a declared rollup and everything of it: $1 property, $2 name. What a server that does not know of
-- it yet adds meanwhile is deleted later (delete_orphans.sql).
with dropped as (
    delete from rollups
    where property_no = $1 and name = $2
    returning rollup_no
),
uncovered as (
    delete from rollup_coverage
    where property_no = $1 and rollup_no in (select rollup_no from dropped)
),
emptied as (
    delete from rollup_segments
    where property_no = $1 and rollup_no in (select rollup_no from dropped)
)
select rollup_no from dropped
