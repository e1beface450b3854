-- Adds segments, a list a column: $1 ids, $2 property, $3 rollups, $4 and $5 days, $6 and $7 between which
-- times, $8 how many events, $9 to $12 the parts.
insert into rollup_segments
    (segment_id, property_no, rollup_no, since, until, first_time, last_time, events,
     day, day_visitors, slots, slot_visitors)
select segment_id, $2, rollup_no, since, until, first_time, last_time, events,
    day, day_visitors, slots, slot_visitors
from unnest($1::uuid[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
        $7::timestamptz[], $8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[])
    as segment (segment_id, rollup_no, since, until, first_time, last_time, events,
        day, day_visitors, slots, slot_visitors)
