-- The same events as rows of text, in a hypertable like that of the service.
create table events_wide as select * from events_readable limit 0;
alter table events_wide alter column time set not null;
select create_hypertable(
    'events_wide', by_range('time', interval '1 day'), create_default_indexes => false
);
create unique index on events_wide (property, time, event_id);
