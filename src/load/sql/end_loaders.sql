-- Ends the sessions that load a log, $1: those of a server that is gone, when its machine or the
-- network failed and the database goes on waiting for it. Needs the lock of insert_position.sql.
select pg_terminate_backend(pid)
from pg_locks
where locktype = 'advisory'
    and objsubid = 1
    and database = (select oid from pg_database where datname = current_database())
    and (classid::bigint << 32) | objid::bigint = hashtextextended($1::uuid::text, 0)
    and pid <> pg_backend_pid()
