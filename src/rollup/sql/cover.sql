-- Notes that rollups of property $1, $2, have every event from $3 on.
insert into rollup_coverage (property_no, rollup_no, covered_since)
select $1, rollup_no, $3
from unnest($2::integer[]) as covered (rollup_no)
on conflict (property_no, rollup_no) do update set covered_since = excluded.covered_since
