-- Notes that records of a log are loaded: $1 the log, $2 the first number, $3 the number after the
-- last. Changes no row if that is noted already. Waits for a transaction that is about to note it.
-- The lock, held until the transaction ends, tells end_loaders.sql who loads this log.
insert into log_positions as noted (log_id, first, next)
select $1, $2, $3
from pg_advisory_xact_lock_shared(hashtextextended($1::uuid::text, 0))
on conflict (log_id, first) do update set next = excluded.next
where noted.next < excluded.next
