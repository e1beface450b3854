-- What the database has of the services' logs, and what it refused.

-- Half-open ranges of record numbers that are loaded, written in the transaction that loads them.
-- The range that begins at 0 is everything before; ranges that meet it are merged into it.
create table log_positions (
    log_id   uuid not null,
    first    bigint not null check (first >= 0),
    next     bigint not null check (next > first),
    primary key (log_id, first)
);

-- Acknowledged events that the database refused. A record of a log is here at most once.
create table dead_letters (
    dead_letter_no  bigint generated always as identity primary key,
    -- Null when the record cannot be read.
    property_no     integer references properties,
    refused_at      timestamptz not null default now(),
    reason          text not null,
    -- As it was in the log.
    record          bytea not null,
    log_id          uuid not null,
    sequence        bigint not null,
    unique (log_id, sequence)
);

create index dead_letters_property_no_key on dead_letters (property_no, dead_letter_no);

-- Records of a log may outlive their property, if the database is restored from an older copy: they
-- are refused, and do not become another property's. Checked once a visitor or user, not an event.
alter table visitors add foreign key (property_no) references properties (property_no);
alter table users add foreign key (property_no) references properties (property_no);
