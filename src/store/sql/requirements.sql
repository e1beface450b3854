-- What the server and the database are like.
select
    current_user::text as role,
    current_database()::text as database,
    current_setting('server_version') as postgres,
    current_setting('server_encoding') as encoding,
    exists (select from pg_available_extensions where name = 'timescaledb') as is_installed,
    -- The loader defines this setting, which nobody has a reason to configure; shared_preload_libraries
    -- itself is a secret to ordinary roles.
    current_setting('timescaledb.disable_load', true) is not null as is_preloaded,
    (select extversion from pg_extension where extname = 'timescaledb') as created_version,
    has_schema_privilege('public', 'create') as may_create_tables
