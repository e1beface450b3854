-- One file of events. Empty text is "not there".
insert into events
select
    event_id, make_timestamp(time_us), name, visitor, page, os, browser, device, is_bot, country, language,
    referrer, channel, utm_source, utm_medium, utm_campaign, duration_ms,
    case
        when price is not null then json_object('plan', plan, 'price', price)
        when plan is not null then json_object('plan', plan)
    end,
    plan
from read_csv('{file}', header = false, auto_detect = false, delim = ',', quote = '', escape = '', nullstr = '', columns = {columns})
