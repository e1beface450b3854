-- Declares a rollup: $1 property, $2 name, $3 dimensions. Nothing if the property has $4 of them.
insert into rollups (property_no, name, dimensions)
select $1, $2, $3
where (select count(*) from rollups where property_no = $1) < $4
