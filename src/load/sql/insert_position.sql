-- Notes that records of a log are loaded: $1 the log, $2 the first number, $3 the number after the
-- last. Changes no row if that is noted already. Waits for a transaction that is about to note it,
-- such as that of a server which was killed and whose connection lives on.
insert into log_positions as noted (log_id, first, next)
values ($1, $2, $3)
on conflict (log_id, first) do update set next = excluded.next
where noted.next < excluded.next
