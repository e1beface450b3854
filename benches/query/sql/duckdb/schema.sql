-- The events as DuckDB likes them: text that repeats is an enum (a number, with the text apart), a visitor
-- is a number, times are UTC without a zone, and the rows come in the order of time, so that the
-- minima and maxima of its blocks find a range. Names in braces are replaced by enums of the values there are.
create table events (
    event_id      uuid not null,
    time          timestamp not null,
    name          {name} not null,
    visitor       uinteger not null,
    page          {page} not null,
    os            {os},
    browser       {browser},
    device        {device} not null,
    is_bot        boolean not null,
    country       {country},
    language      {language},
    referrer      {referrer},
    channel       {channel} not null,
    utm_source    {utm_source},
    utm_medium    {utm_medium},
    utm_campaign  {utm_campaign},
    duration_ms   integer,
    -- What the service has as properties: as JSON, as they come, and the plan in a column of its own, which
    -- somebody who knew the question would have.
    properties    json,
    plan          {plan}
);
