-- Adds the facts of a batch: $1 properties, $2 and $3 times of the first and the last event, $4 how many
-- events, $5 the facts.
insert into rollup_facts (property_no, first_time, last_time, events, facts)
select * from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::integer[], $5::bytea[])
