-- The numbers of visitors that are known.
-- $1 property, $2 visitor ids. Uses the primary key.
select visitor_no, visitor_id
from visitors
where property_no = $1 and visitor_id = any($2::text[])
