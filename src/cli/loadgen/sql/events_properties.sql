-- Which properties these events are in; all properties when none of the events is there.
-- $1 uuid[]: event ids. $2 bigint[]: their times in microseconds of Unix time.
-- Index: events_time_event_id_key, once for each event and property.
with wanted as (
    select event_id, timestamptz 'epoch' + us * interval '1 microsecond' as time
    from unnest($1::uuid[], $2::bigint[]) w (event_id, us)
),
found as (
    select p.property_no
    from properties p
    where exists (
        select
        from wanted w
        join events e on e.property_no = p.property_no and e.time = w.time and e.event_id = w.event_id
    )
)
select property_no from found
union all
select property_no from properties where not exists (select from found)
