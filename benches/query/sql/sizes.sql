-- Bytes of the whole database, of the events with their index, and of tables whose names begin with rollup.
select
    pg_database_size(current_database()) as whole,
    hypertable_size('events') as events,
    coalesce((
        select sum(pg_total_relation_size(oid))::bigint
        from pg_class
        where relkind in ('r', 'm') and relname like 'rollup%'
    ), 0) as rollups
