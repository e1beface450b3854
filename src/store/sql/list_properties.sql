-- $1 the name before the first, $2 how many, $3 the only name to list, or null. Uses the unique
-- constraint on the name.
select *
from properties
where name > $1 and (name = $3 or $3::text is null)
order by name
limit $2
