-- Deletes the events of property $1 that are older than $2. Uses events_time_event_id_key; chunks
-- newer than $2 are not touched.
delete from events
where property_no = $1 and time < $2
