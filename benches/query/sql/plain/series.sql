-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
-- Counted by visitor first, as in day_page_os_visitors.sql.
with counted as (
    select
        time_bucket('1 day', time) as bucket, visitor_no,
        count(*) filter (where name = 'page_view') as page_views
    from events
    join names using (name_no)
    where property_no = 1 and time >= $1 and time < $2 and not is_bot
    group by 1, 2
)
select bucket, count(*)::float8 as visitors, sum(page_views)::float8 as page_views
from counted
group by 1
