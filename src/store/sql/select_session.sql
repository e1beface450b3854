-- The session that asks: its process, and when that started, for numbers of processes come back.
select pid, backend_start from pg_stat_get_activity(pg_backend_pid())
