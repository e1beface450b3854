-- Keeps a record that the database refused: $1 the property, $2 the reason, $3 the record, $4 the log,
-- $5 the number.
insert into dead_letters (property_no, reason, record, log_id, sequence)
values ((select property_no from properties where property_no = $1), $2, $3, $4, $5)
on conflict (log_id, sequence) do nothing
