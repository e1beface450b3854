-- The rollups of property $1: those of every property, $2, and those that were declared. How far they are,
-- and of which time there are events.
with own as (
    select rollup_no, null as name, null as dimensions, null as failure
    from unnest($2::integer[]) as built_in (rollup_no)
    union all
    select rollup_no, name, dimensions, failure
    from rollups
    where property_no = $1
),
-- Only lengths of the parts are read, which are stored apart.
segments as (
    select rollup_no, count(*) as segments,
        sum(octet_length(day) + octet_length(day_visitors) + octet_length(slots)
            + octet_length(slot_visitors)) as bytes
    from rollup_segments
    where property_no = $1
    group by rollup_no
),
-- Of the index: the first and the last.
oldest as (select time as oldest from events where property_no = $1 order by time limit 1),
newest as (select time as newest from events where property_no = $1 order by time desc limit 1)
select rollup_no, name, dimensions, failure, covered_since,
    coalesce(segments, 0)::bigint as segments, coalesce(bytes, 0)::bigint as bytes, oldest, newest
from own
left join (select rollup_no, covered_since from rollup_coverage where property_no = $1) as coverage
    using (rollup_no)
left join segments using (rollup_no)
left join oldest on true
left join newest on true
order by rollup_no
