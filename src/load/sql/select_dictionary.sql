-- The numbers of texts that a dictionary has.
-- $1 texts. Uses the unique index on the text.
select {number}, {text}
from {table}
where {text} = any($1::text[])
