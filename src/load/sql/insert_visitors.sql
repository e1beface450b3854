-- Adds visitors and returns those that were new. A number whose visitor another loader added in
-- between stays unused.
-- $1 property, $2 visitor ids, sorted, $3 the first of their numbers.
insert into visitors (property_no, visitor_id, visitor_no)
select $1, visitor_id, ($3 + place - 1)::integer
from unnest($2::text[]) with ordinality as entry (visitor_id, place)
on conflict (property_no, visitor_id) do nothing
returning visitor_no, visitor_id
