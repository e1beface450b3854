-- Keys of the properties of the newest events.
-- $1 property. Walks events_time_event_id_key backwards, and no further than 1,000 events: it is a help for
-- people, and has to be cheap.
with newest as (
    select e.properties
    from events e
    where e.property_no = $1
    order by e.time desc
    limit 1000
)
select distinct keys.key collate "C" as key
from newest
cross join lateral jsonb_object_keys(newest.properties) as keys (key)
-- An empty key is no dimension.
where keys.key <> '' and octet_length(keys.key) <= 128
order by 1
limit 200
