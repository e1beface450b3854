-- Ends the session of process $1 that started at $2, if it is still there, and rolls back what it does.
select pg_terminate_backend(pid) from pg_stat_get_activity($1) where backend_start = $2
