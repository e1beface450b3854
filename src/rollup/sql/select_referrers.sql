-- What was derived from referrers: $1 their numbers. Uses the primary key.
select referrer_no, referrer
from referrers
where referrer_no = any($1)
