-- The plan in a column of its own, which takes knowing the question before the events are stored.
select time::date as bucket, count(*) as events
from events
where time >= {since} and time < {until} and not is_bot and plan = 'pro'
group by all
