-- The staging table of this connection: the columns of events, no index, nothing that outlives the
-- transaction in it.
create temporary table if not exists events_staging (like events including defaults)
on commit delete rows
