-- Deletes dead letters, the oldest first. Waits for those that a replay has locked: afterwards they are
-- gone, or were not sent.
-- $1 property's name, or null for all, $2 numbers, or null for all, $3 the last number, $4 how many at
-- most. Uses the primary key, or with a property and without numbers dead_letters_property_no_key.
with dropped as (
    select d.dead_letter_no
    from dead_letters d
    where ($1::text is null or d.property_no = (select property_no from properties where name = $1))
        and ($2::bigint[] is null or d.dead_letter_no = any($2))
        and d.dead_letter_no <= $3
    order by d.dead_letter_no
    limit $4
    for update of d
)
delete from dead_letters
using dropped
where dead_letters.dead_letter_no = dropped.dead_letter_no
