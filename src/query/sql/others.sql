-- Measures at once the events that are in none of an answer's rows.
-- $1 property, $2 and $3 range; the rest as bound by src/query/aggregate.rs. The rows are few beside the
-- events, so they are looked up, and the events are read once, in the order that aggregate.sql reads them in.
with kept as (
    -- The answer's rows, by number where events have numbers.
    select k.bucket{kept_keys}
    from {kept_rows} as k (bucket{text_columns})
    {number_joins}
),
left_out as (
    -- Distinct where an event may be in several rows: it is here once if it is in one that was left out.
    select {distinct} e.time, e.event_id, e.visitor_no, e.duration_ms, e.scroll_bp, e.is_page_view
    from events e
    {key_joins}
    where {selected}
      and not exists (select from kept k where {is_kept})
)
select count(*) as event_count{metrics}
from left_out e
