-- Properties (one site or product each) and the keys that open them.

create table properties (
    property_no       integer generated always as identity primary key,
    name              text not null,
    display_name      text not null default '',
    time_zone         text not null default 'UTC',
    -- Days that events are kept; 0 = for ever, null = the server's limit.
    retention_days    integer,
    session_gap_s     integer not null default 1800,
    -- 1 truncate, 2 drop, 3 keep: IpPolicy of admin_service.proto.
    ip_policy         smallint not null default 1,
    allowed_origins   text[] not null default '{}',
    -- The next visitor number to hand out. Blocks are taken with one update, so that numbers stay
    -- nearly dense and a set of visitors stays a small bitmap.
    next_visitor_no   bigint not null default 1,
    created_at        timestamptz not null default now(),
    constraint properties_name_key unique (name),
    constraint properties_retention_days_check check (retention_days between 0 and 36500),
    constraint properties_session_gap_check check (session_gap_s between 60 and 86400),
    constraint properties_ip_policy_check check (ip_policy between 1 and 3)
);

-- Events of callers that name no property go here.
insert into properties (name) values ('default');

create table api_keys (
    -- Public part of the key. The secret part is not stored.
    key_id            text primary key,
    -- 1 write, 2 read, 3 admin: KeyKind of admin_service.proto.
    kind              smallint not null,
    -- Null for a server-wide admin key.
    property_no       integer references properties (property_no),
    -- SHA-256 of the whole key. A key is 160 random bits, so a slow hash would add nothing.
    secret_sha256     bytea not null,
    label             text not null default '',
    created_at        timestamptz not null default now(),
    revoked_at        timestamptz,
    constraint api_keys_kind_check check (kind between 1 and 3),
    constraint api_keys_property_check check (property_no is not null or kind = 3),
    constraint api_keys_hash_check check (octet_length(secret_sha256) = 32)
);

create index api_keys_property_no on api_keys (property_no);
