select
    {since} as bucket, count(distinct visitor) as visitors, count(*) as events,
    count(*) filter (name = 'page_view') as page_views, avg(duration_ms) / 1000 as duration_mean
from events
where time >= {since} and time < {until} and not is_bot
having count(*) > 0
