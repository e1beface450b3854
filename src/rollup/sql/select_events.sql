-- The events of property $1 from $2 to before $3, as facts need them; $4 keys of properties. Reads events_time_event_id_key over
-- that range, or whole chunks.
select e.time, e.visitor_no, e.is_page_view, e.is_bot, e.duration_ms, e.scroll_bp{columns}
from events e
where e.property_no = $1 and e.time >= $2 and e.time < $3
