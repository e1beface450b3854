-- The number of the newest dead letter; 0 if there is none. Uses the primary key.
select coalesce(max(dead_letter_no), 0)
from dead_letters
