-- The numbers of users that are known.
-- $1 property, $2 user ids. Uses the unique constraint on them.
select user_no, user_id
from users
where property_no = $1 and user_id = any($2::text[])
