-- What facts there are, by property: how many events and rows, and how old the oldest is in seconds.
select property_no, sum(events)::bigint, count(*), extract(epoch from now() - min(loaded_at))::double precision
from rollup_facts
group by property_no
