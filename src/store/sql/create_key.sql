-- Stores a key; no row when there is no property of that name.
-- $1 public part, $2 kind, $3 property's name, or null for none, $4 SHA-256, $5 label.
with owner as (
    select property_no, name from properties where name = $3
    union all
    select null, null where $3::text is null
),
created as (
    insert into api_keys (key_id, kind, property_no, secret_sha256, label)
    select $1, $2, property_no, $4, $5 from owner
    returning *
)
select created.*, owner.name as property
from created, owner
