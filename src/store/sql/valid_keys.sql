-- Every key that is valid.
select key_id, kind, property_no, secret_sha256
from api_keys
where revoked_at is null
