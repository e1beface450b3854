-- What is loaded of every log. A row a log, and some more of those that are being loaded.
select log_id, first, next
from log_positions
