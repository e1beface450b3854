-- Which migrations were applied, with the SHA-256 of their text.
create table if not exists schema_migrations (
    name       text primary key,
    sha256     bytea not null,
    applied_at timestamptz not null default now()
)
