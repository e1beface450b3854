-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
select bucket, count(*)::float8 as visitors
from (
    select distinct time_bucket('1 day', time) as bucket, visitor_no
    from events
    where property_no = 1 and time >= $1 and time < $2 and not is_bot
) as seen
group by 1
