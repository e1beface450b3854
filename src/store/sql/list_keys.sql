-- Keys, the oldest first.
-- $1 property's name, or null for all, $2 whether with revoked ones, $3 and $4 creation and public
-- part of the key before the first, or null, $5 how many.
select k.*, p.name as property
from api_keys k
left join properties p using (property_no)
where (p.name = $1 or $1::text is null)
    and (k.revoked_at is null or $2)
    and ((k.created_at, k.key_id) > ($3, $4) or $3::timestamptz is null)
order by k.created_at, k.key_id
limit $5
