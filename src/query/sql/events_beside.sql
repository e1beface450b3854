-- The events of a property beside an instant: the last one before it, if it is not long before, and the
-- first one at or after it.
-- $1 property, $2 the instant, $3 how far back is looked. Walks events_time_event_id_key to either side;
-- what lies after the present is little.
select
    (
        select time from events
        where property_no = $1 and time >= $3 and time < $2
        order by time desc
        limit 1
    ) as before,
    (
        select time from events
        where property_no = $1 and time >= $2
        order by time
        limit 1
    ) as after
