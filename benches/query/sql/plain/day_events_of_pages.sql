-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
select time_bucket('1 day', time) as bucket, count(*)::float8 as events
from events
where property_no = 1 and time >= $1 and time < $2 and not is_bot
    and path_no in (select path_no from paths where starts_with(path, '/blog/'))
group by 1
