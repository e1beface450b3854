-- The declared rollups that are kept, in the order in which they were declared.
select property_no, rollup_no, name, dimensions
from rollups
where failure is null
order by rollup_no
