-- Moves a batch from the staging table into events, but for what is there already, and returns the
-- identities of what was new.
insert into events
select * from pg_temp.events_staging
on conflict (property_no, time, event_id) do nothing
returning property_no, time, event_id
