-- Dead letters, the oldest first, as many as a page may hold.
-- $1 property's name, or null for all, $2 the number before the first, $3 how many at most, $4 bytes: no
-- letter follows once those before have as many. Uses the primary key, or with a property
-- dead_letters_property_no_key.
-- `candidates` is how many there would be without the bound in bytes.
with candidates as (
    select d.dead_letter_no, d.property_no, d.refused_at, d.reason, d.record
    from dead_letters d
    where ($1::text is null or d.property_no = (select property_no from properties where name = $1))
        and d.dead_letter_no > $2
    order by d.dead_letter_no
    limit $3
),
measured as (
    select
        c.*,
        count(*) over () as candidates,
        sum(octet_length(c.record)) over (order by c.dead_letter_no) - octet_length(c.record)
            as bytes_before
    from candidates c
)
select m.dead_letter_no, p.name as property, m.refused_at, m.reason, m.record, m.candidates
from measured m
left join properties p using (property_no)
where m.bytes_before < $4
order by m.dead_letter_no
