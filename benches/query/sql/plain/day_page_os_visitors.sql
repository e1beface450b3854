-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
-- Counted by visitor first: hashing them is quicker than sorting every group's for count(distinct).
with counted as (
    select
        time_bucket('1 day', time) as bucket, path_no, os, visitor_no,
        count(*) as events, sum(duration_ms) as duration_ms, count(duration_ms) as durations
    from events
    left join agents using (agent_no)
    where property_no = 1 and time >= $1 and time < $2 and not events.is_bot
    group by 1, 2, 3, 4
)
select
    bucket, path as page, os, sum(events)::float8 as events,
    (sum(duration_ms) / nullif(sum(durations), 0) / 1000)::float8 as duration_mean,
    count(*)::float8 as visitors
from counted
left join paths using (path_no)
group by 1, 2, 3
