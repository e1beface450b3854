-- One page of events, newest first, with their text.
-- $1 property, $2 and $3 range; the rest as bound by src/query/events.rs. Walks
-- events_time_event_id_key backwards from the last event of the page before.
with found as (
    select e.*
    from events e
    where {selected}
    order by e.time desc, e.event_id desc
    limit {count}
)
select
{stored_event}
