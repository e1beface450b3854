-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
-- Counted by visitor first, as in day_page_os_visitors.sql.
with counted as (
    select
        visitor_no, count(*) as events, count(*) filter (where name = 'page_view') as page_views,
        sum(duration_ms) as duration_ms, count(duration_ms) as durations
    from events
    join names using (name_no)
    where property_no = 1 and time >= $1 and time < $2 and not is_bot
    group by 1
)
select
    $1 as bucket, count(*)::float8 as visitors, sum(events)::float8 as events, sum(page_views)::float8 as page_views,
    (sum(duration_ms) / nullif(sum(durations), 0) / 1000)::float8 as duration_mean
from counted
having count(*) > 0
