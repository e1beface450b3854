-- What ingestion and questions need of every property.
select property_no, name, time_zone, retention_days, ip_policy
from properties
