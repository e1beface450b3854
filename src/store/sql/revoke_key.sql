-- Revokes a key and returns it; one that was revoked keeps its date.
-- $1 public part, $2 the property's name it must be of, or null.
update api_keys k
set revoked_at = coalesce(k.revoked_at, now())
from api_keys same
left join properties p on p.property_no = same.property_no
where k.key_id = $1
    and same.key_id = k.key_id
    and (p.name = $2 or $2::text is null)
returning k.*, p.name as property
