-- $1 name, $2 display name, $3 time zone, $4 retention in days, $5 session gap in seconds,
-- $6 address policy, $7 allowed origins, $8 the columns to change: decided here, so that of two
-- changes at once to different columns both last.
update properties
set display_name = case when 'display_name' = any($8::text[]) then $2 else display_name end,
    time_zone = case when 'time_zone' = any($8) then $3 else time_zone end,
    retention_days = case when 'retention_days' = any($8) then $4 else retention_days end,
    session_gap_s = case when 'session_gap' = any($8) then $5 else session_gap_s end,
    ip_policy = case when 'ip_policy' = any($8) then $6 else ip_policy end,
    allowed_origins = case when 'allowed_origins' = any($8) then $7 else allowed_origins end
where name = $1
returning *
