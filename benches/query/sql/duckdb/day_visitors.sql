select time::date as bucket, count(distinct visitor) as visitors
from events
where time >= {since} and time < {until} and not is_bot
group by all
