-- Deletes segments of property $1 whose rollup was declared, from number $2 on, and is not any more.
delete from rollup_segments s
where s.property_no = $1
    and s.rollup_no >= $2
    and not exists (select from rollups r where r.rollup_no = s.rollup_no and r.failure is null)
