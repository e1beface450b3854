select date_trunc('hour', time) as bucket, count(*) as events
from events
where time >= {since} and time < {until} and not is_bot
group by all
