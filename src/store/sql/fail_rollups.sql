-- The declared rollups of property $1 that have dimension $2 cannot be kept: $3 why. Everything of them
-- goes.
with failed as (
    update rollups
    set failure = $3
    where property_no = $1 and $2 = any(dimensions)
    returning rollup_no
),
uncovered as (
    delete from rollup_coverage
    where property_no = $1 and rollup_no in (select rollup_no from failed)
)
delete from rollup_segments
where property_no = $1 and rollup_no in (select rollup_no from failed)
