-- Adds texts to a dictionary and returns the numbers of those that were new.
-- $1 texts, sorted, so that two loaders that add the same ones wait for each other in one order;
-- $2… what was derived from them, a list a column.
insert into {table} ({text}{columns})
select {text}{values}
from unnest($1::text[]{parameters}) as entry ({text}{columns})
on conflict ({text}) do nothing
returning {number}, {text}
