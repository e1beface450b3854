-- Groups events by bucket and dimensions.
-- $1 property, $2 and $3 range; the rest as bound by src/query/aggregate.rs. A range of one property's
-- events is read in order of events_time_event_id_key, or whole chunks where it has most of them.
with grouped as (
    -- By number, where a dictionary has one number a text: cheaper than by text.
    select {bucket} as bucket{keys}{metrics}
    from events e
    {key_joins}
    where {selected}
    group by 1{key_columns}
),
named as (
    -- The text of each group, looked up once a group and not once an event.
    select g.*, count(*) over () as row_count{texts}
    from grouped g
    {text_joins}
)
select bucket{columns}, row_count
from named
where {wanted}
order by {order}
limit {limit}
