-- Adds users and returns those that were new.
-- $1 property, $2 user ids, sorted.
insert into users (property_no, user_id)
select $1, user_id
from unnest($2::text[]) as entry (user_id)
on conflict (property_no, user_id) do nothing
returning user_no, user_id
