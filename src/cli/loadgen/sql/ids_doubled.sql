-- Event ids that are stored more than once, under whatever time and property.
-- $1, $2 bigint: the first and the last time to look at, in microseconds of Unix time.
-- No index helps: it reads the time range once, and sorts or hashes its ids, on disk if need be.
select event_id
from events
where time >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond'
    and time <= timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
group by event_id
having count(*) > 1
