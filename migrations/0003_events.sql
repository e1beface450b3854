-- Events: the narrow fact table. Null means "not known". Columns are ordered by alignment, so that
-- no byte is padding.

create table events (
    time          timestamptz not null,
    event_id      uuid not null,
    property_no   integer not null,
    visitor_no    integer not null,
    name_no       integer not null,
    user_no       integer,
    host_no       integer,
    path_no       integer,
    query_no      integer,
    title_no      integer,
    referrer_no   integer,
    campaign_no   integer,
    agent_no      integer,
    language_no   integer,
    screen_no     integer,
    country_no    integer,
    page_type_no  integer,
    author_no     integer,
    duration_ms   integer,
    -- Scroll depth in hundredths of a percent, 0 to 10,000.
    scroll_bp     smallint,
    -- Channel of src/enrich/channel.rs.
    channel       smallint not null,
    is_page_view  boolean not null,
    -- The agent's flag again: nearly every question asks for it, and a join would double its cost.
    is_bot        boolean not null,
    category_nos  integer[],
    tag_nos       integer[],
    session_id    text,
    ip_address    inet,
    properties    jsonb
);

select create_hypertable(
    'events', by_range('time', interval '1 day'),
    create_default_indexes => false
);

-- What makes an event counted once, and at the same time one property's events in order of time.
-- The time comes before the id so that one index serves both: a second index would cost as much as
-- the rest of the insert (docs/adr/0002-one-index.md).
create unique index events_time_event_id_key on events (property_no, time, event_id);

-- Events with their text, for SQL and Grafana.
create view events_readable as
select
    e.time,
    p.name as property,
    n.name,
    e.event_id,
    v.visitor_id,
    u.user_id,
    e.session_id,
    h.host,
    pa.path as page,
    q.query,
    t.title,
    r.referrer,
    r.referrer_url,
    (array['direct', 'search', 'social', 'email', 'campaign', 'referral'])[e.channel] as channel,
    c.utm_source, c.utm_medium, c.utm_campaign, c.utm_term, c.utm_content,
    a.browser, a.browser_version, a.os, a.os_version, a.device,
    e.is_bot,
    co.country,
    l.language,
    s.screen,
    e.ip_address,
    e.duration_ms / 1000.0 as duration_s,
    e.scroll_bp / 100.0 as scroll_depth,
    pt.page_type,
    au.author,
    (select array_agg(x.category order by i.position)
        from unnest(e.category_nos) with ordinality i (no, position)
        join categories x on x.category_no = i.no) as categories,
    (select array_agg(x.tag order by i.position)
        from unnest(e.tag_nos) with ordinality i (no, position)
        join tags x on x.tag_no = i.no) as tags,
    a.user_agent,
    e.properties
from events e
join properties p using (property_no)
join names n using (name_no)
join visitors v on v.property_no = e.property_no and v.visitor_no = e.visitor_no
left join users u using (user_no)
left join hosts h using (host_no)
left join paths pa using (path_no)
left join queries q using (query_no)
left join titles t using (title_no)
left join referrers r using (referrer_no)
left join campaigns c using (campaign_no)
left join agents a using (agent_no)
left join countries co using (country_no)
left join languages l using (language_no)
left join screens s using (screen_no)
left join page_types pt using (page_type_no)
left join authors au using (author_no);
