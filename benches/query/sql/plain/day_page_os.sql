-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
-- Counted by number first, so that the dictionaries are joined to groups and not to events.
with counted as (
    select
        time_bucket('1 day', time) as bucket, path_no, agent_no,
        count(*) as events, sum(duration_ms) as duration_ms, count(duration_ms) as durations
    from events
    where property_no = 1 and time >= $1 and time < $2 and not is_bot
    group by 1, 2, 3
)
select
    bucket, path as page, os, sum(events)::float8 as events,
    (sum(duration_ms) / nullif(sum(durations), 0) / 1000)::float8 as duration_mean
from counted
left join paths using (path_no)
left join agents using (agent_no)
group by 1, 2, 3
