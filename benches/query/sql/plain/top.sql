-- $1 since, $2 until. Uses events_time_event_id_key, or reads the range's chunks from end to end.
-- Replaced: {text} the dimension's text, {join} its dictionary.
with seen as (
    select distinct {text} as text, visitor_no
    from events e
    {join}
    where property_no = 1 and time >= $1 and time < $2 and not e.is_bot
)
select $1 as bucket, text, count(*)::float8 as visitors
from seen
group by 2
order by 3 desc, text collate "C"
limit 10
