-- Takes facts of property $1 away and returns them, the oldest first: rows that hold at most $2 events
-- together, but at least one. Needs the property's lock.
with counted as (
    select facts_no, sum(events) over (order by facts_no) - events as before
    from rollup_facts
    where property_no = $1
)
delete from rollup_facts
where facts_no in (select facts_no from counted where before < $2)
returning facts
