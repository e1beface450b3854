-- {dimension} is a column of text; ties are in its order, an enum's own would be that of its numbers.
with counted as (
    select {dimension}, count(distinct visitor) as visitors
    from events
    where time >= {since} and time < {until} and not is_bot
    group by all
)
select {since} as bucket, {dimension}, visitors
from counted
order by visitors desc, {dimension}::varchar
limit 10
