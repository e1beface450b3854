-- Drops the chunks whose events are all older than $1, and returns their names.
select drop_chunks('events', older_than => $1::timestamptz)::text
