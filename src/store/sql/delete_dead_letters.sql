-- Deletes dead letters by their numbers: $1. Uses the primary key.
delete from dead_letters
where dead_letter_no = any($1::bigint[])
