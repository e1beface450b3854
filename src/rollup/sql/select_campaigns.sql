-- The texts of campaigns: $1 their numbers. Uses the primary key.
select campaign_no, utm_source, utm_medium, utm_campaign, utm_term, utm_content
from campaigns
where campaign_no = any($1)
