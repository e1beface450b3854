-- Takes a block of visitor numbers of a property and returns the first.
-- $1 property, $2 how many. Locks the property's row for this statement only.
update properties
set next_visitor_no = next_visitor_no + $2
where property_no = $1
returning next_visitor_no - $2
