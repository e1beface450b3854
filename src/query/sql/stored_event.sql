    e.event_id, e.time, n.name, v.visitor_id, u.user_id, e.session_id,
    h.host, pa.path, q.query, t.title, r.referrer, r.referrer_url,
    (array['direct', 'search', 'social', 'email', 'campaign', 'referral'])[e.channel] as channel,
    c.utm_source, c.utm_medium, c.utm_campaign, c.utm_term, c.utm_content,
    a.user_agent, a.browser, a.browser_version, a.os, a.os_version, a.device, e.is_bot,
    co.country, l.language, s.screen, e.ip_address, e.duration_ms, e.scroll_bp,
    pt.page_type, au.author,
    (select array_agg(x.category order by i.position)
        from unnest(e.category_nos) with ordinality i (no, position)
        join categories x on x.category_no = i.no) as categories,
    (select array_agg(x.tag order by i.position)
        from unnest(e.tag_nos) with ordinality i (no, position)
        join tags x on x.tag_no = i.no) as tags,
    e.properties
from found e
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
left join authors au using (author_no)
order by e.time desc, e.event_id desc
