-- The time of the newest event of property $1 before $2. Walks events_time_event_id_key backwards.
select time
from events
where property_no = $1 and time < $2
order by time desc
limit 1
