-- What is loaded of a log: $1.
select first, next
from log_positions
where log_id = $1
order by first
