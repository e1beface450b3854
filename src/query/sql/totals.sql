-- Measures all events of a question at once.
-- $1 property, $2 and $3 range; the rest as bound by src/query/aggregate.rs.
select {metrics}
from events e
where {selected}
