-- The segments of property $1 that are not alone in their rollup and day, or whose day is in none of the
-- property's days of now: with their sizes, and how old they are in seconds.
-- Reads rollup_segments_since; the parts are stored apart and not read.
select segment_id, rollup_no, since, until, first_time, last_time, events, age_s
from (
    select segment_id, rollup_no, since, until, first_time, last_time, events,
        extract(epoch from now() - created_at)::double precision as age_s,
        count(*) over (partition by rollup_no, since, until) as together
    from rollup_segments
    where property_no = $1
) as segment
where together > 1
order by rollup_no, since, until, events desc
