-- Makes one range of those that lie before a number: $1 the log, $2 the number, all before which is
-- loaded. One that comes late, such as that of a server which was killed and whose connection lives
-- on, takes nothing back.
with merged as (
    delete from log_positions
    where log_id = $1 and next <= $2 and first > 0
)
insert into log_positions as noted (log_id, first, next)
values ($1, 0, $2)
on conflict (log_id, first) do update set next = excluded.next
where noted.next < excluded.next
