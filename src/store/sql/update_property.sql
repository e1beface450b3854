-- $1 name, $2 display name, $3 time zone, $4 retention in days, $5 session gap in seconds,
-- $6 address policy, $7 allowed origins.
update properties
set display_name = $2, time_zone = $3, retention_days = $4, session_gap_s = $5, ip_policy = $6,
    allowed_origins = $7
where name = $1
returning *
