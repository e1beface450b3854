-- Waits until nobody loads a log, $1.
select 1 from pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))
