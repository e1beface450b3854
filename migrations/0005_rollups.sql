-- Rollups: what is counted ahead of the questions (docs/adr/0020-rollups-are-segments.md).

-- Texts of rollups' keys that no dictionary has as its own: what was derived from an agent, a referrer
-- or a campaign, and values of properties.
create table labels (
    label_no integer generated always as identity primary key,
    label    text not null unique
);

-- Rollups that were declared for a property; those of every property are in the service.
create table rollups (
    rollup_no   integer generated always as identity (start with 1000) primary key,
    property_no integer not null references properties (property_no),
    name        text not null,
    dimensions  text[] not null,
    -- Why it cannot be kept, if so.
    failure     text,
    created_at  timestamptz not null default now(),
    constraint rollups_name_key unique (property_no, name)
);

-- Since when a rollup of a property has every event; no row: it has none. It is built from the newest
-- day to the oldest.
create table rollup_coverage (
    property_no   integer not null references properties (property_no),
    rollup_no     integer not null,
    covered_since timestamptz not null,
    primary key (property_no, rollup_no)
);

-- The events of a batch, a property and a local day, by column: written with the events, and made
-- segments of soon after.
create table rollup_facts (
    facts_no    bigint generated always as identity primary key,
    property_no integer not null,
    -- Of the first and the last event.
    first_time  timestamptz not null,
    last_time   timestamptz not null,
    events      integer not null,
    loaded_at   timestamptz not null default now(),
    facts       bytea not null
);

-- It is written, read once and deleted; nothing is gained by compressing it.
alter table rollup_facts alter column facts set storage external;
create index rollup_facts_property_no on rollup_facts (property_no, first_time);

-- What a rollup has of some events of a local day. Never changed, only replaced; the id is random, so
-- that one that a cache knows never comes back with something else in it.
create table rollup_segments (
    segment_id    uuid primary key,
    property_no   integer not null,
    rollup_no     integer not null,
    -- The local day, as instants.
    since         timestamptz not null,
    until         timestamptz not null,
    -- No event in it is before or after these.
    first_time    timestamptz not null,
    last_time     timestamptz not null,
    events        bigint not null,
    created_at    timestamptz not null default now(),
    -- The four parts of src/rollup/segment.rs.
    day           bytea not null,
    day_visitors  bytea not null,
    slots         bytea not null,
    slot_visitors bytea not null
);

alter table rollup_segments
    alter column day set storage external,
    alter column day_visitors set storage external,
    alter column slots set storage external,
    alter column slot_visitors set storage external;
create index rollup_segments_since on rollup_segments (property_no, rollup_no, since);

-- From here on whoever adds an agent, a referrer or a campaign adds the labels first.
insert into labels (label)
select browser from agents where browser is not null
union select browser_version from agents where browser_version is not null
union select os from agents where os is not null
union select os_version from agents where os_version is not null
union select device from agents where device is not null
union select referrer from referrers where referrer is not null
union select utm_source from campaigns where utm_source is not null
union select utm_medium from campaigns where utm_medium is not null
union select utm_campaign from campaigns where utm_campaign is not null
union select utm_term from campaigns where utm_term is not null
union select utm_content from campaigns where utm_content is not null;

-- A property without events has all of them in its rollups, those of every property (numbers 1 to 8), from
-- the first moment on. Of the others they are built.
insert into rollup_coverage (property_no, rollup_no, covered_since)
select p.property_no, rollup_no, '2000-01-01 00:00:00+00'
from properties p, generate_series(1, 8) as built_in (rollup_no)
where not exists (select from events e where e.property_no = p.property_no);
