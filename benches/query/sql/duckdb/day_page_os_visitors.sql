-- {since} and {until} are midnights.
select
    time::date as bucket, page, os,
    count(*) as events, avg(duration_ms) / 1000 as duration_mean, count(distinct visitor) as visitors
from events
where time >= {since} and time < {until} and not is_bot
group by all
