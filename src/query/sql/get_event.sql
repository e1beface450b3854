-- An event by its id, with its text; the newest when there are several.
-- $1 property, $2 id, $3 and $4 where to look. Reads events_time_event_id_key over that range: the id
-- is in it, so that rows are only fetched where it matches.
with found as (
    select e.*
    from events e
    where e.property_no = $1 and e.event_id = $2 and e.time >= $3 and e.time < $4
    order by e.time desc
    limit 1
)
select
{stored_event}
