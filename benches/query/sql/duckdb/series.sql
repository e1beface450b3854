select
    time::date as bucket, count(distinct visitor) as visitors,
    count(*) filter (name = 'page_view') as page_views
from events
where time >= {since} and time < {until} and not is_bot
group by all
