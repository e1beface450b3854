-- How many of these events are not stored, and how many more than once.
-- $1 uuid[]: event ids. $2 bigint[]: their times in microseconds of Unix time. $3 integer[]: properties.
-- $4, $5 bigint: the first and the last of the times, so that other chunks are not even looked at.
-- Index: events_time_event_id_key, once for each event and property: the subquery keeps it from becoming
-- a hash over all events.
with wanted as (
    select event_id, timestamptz 'epoch' + us * interval '1 microsecond' as time
    from unnest($1::uuid[], $2::bigint[]) w (event_id, us)
),
counted as (
    select (
        select count(*)
        from events e
        where e.property_no = any ($3::integer[])
            and e.time = w.time
            and e.event_id = w.event_id
            and e.time >= timestamptz 'epoch' + $4::bigint * interval '1 microsecond'
            and e.time <= timestamptz 'epoch' + $5::bigint * interval '1 microsecond'
    ) as copies
    from wanted w
)
select count(*) filter (where copies = 0), count(*) filter (where copies > 1) from counted
