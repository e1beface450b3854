-- What was derived from agents: $1 their numbers. Uses the primary key.
select agent_no, browser, browser_version, os, os_version, device
from agents
where agent_no = any($1)
