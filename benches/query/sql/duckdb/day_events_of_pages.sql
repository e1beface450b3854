select time::date as bucket, count(*) as events
from events
where time >= {since} and time < {until} and not is_bot and starts_with(page, '/blog/')
group by all
