-- Takes dead letters for a replay: locks them until the transaction ends, the oldest first. Those that
-- another replay has locked are passed over.
-- $1 property's name, or null for all, $2 numbers, or null for all, $3 the number before the first, $4
-- the last number, $5 how many at most, $6 bytes: no letter follows once those before have as many.
-- Uses the primary key, or with a property and without numbers dead_letters_property_no_key.
with taken as (
    select d.dead_letter_no, d.record
    from dead_letters d
    where ($1::text is null or d.property_no = (select property_no from properties where name = $1))
        and ($2::bigint[] is null or d.dead_letter_no = any($2))
        and d.dead_letter_no > $3
        and d.dead_letter_no <= $4
    order by d.dead_letter_no
    limit $5
    for update of d skip locked
),
-- Apart from the locks, which a query with window functions cannot take.
measured as (
    select
        t.*,
        sum(octet_length(t.record)) over (order by t.dead_letter_no) - octet_length(t.record)
            as bytes_before
    from taken t
)
select dead_letter_no, record
from measured
where bytes_before < $6
order by dead_letter_no
