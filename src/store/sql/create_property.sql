-- $1 name, $2 display name, $3 time zone, $4 retention in days, $5 session gap in seconds,
-- $6 address policy, $7 allowed origins.
insert into properties (name, display_name, time_zone, retention_days, session_gap_s, ip_policy, allowed_origins)
values ($1, $2, $3, $4, $5, $6, $7)
returning *
