-- Dictionaries: text that repeats is stored once and events hold its number. An entry that nothing
-- uses is harmless, so entries are written before the batch that needs them, in a transaction of
-- their own.

create table names      (name_no      integer generated always as identity primary key, name      text not null unique);
create table hosts      (host_no      integer generated always as identity primary key, host      text not null unique);
create table paths      (path_no      integer generated always as identity primary key, path      text not null unique);
create table queries    (query_no     integer generated always as identity primary key, query     text not null unique);
create table titles     (title_no     integer generated always as identity primary key, title     text not null unique);
create table languages  (language_no  integer generated always as identity primary key, language  text not null unique);
create table screens    (screen_no    integer generated always as identity primary key, screen    text not null unique);
create table countries  (country_no   integer generated always as identity primary key, country   text not null unique);
create table page_types (page_type_no integer generated always as identity primary key, page_type text not null unique);
create table authors    (author_no    integer generated always as identity primary key, author    text not null unique);
create table categories (category_no  integer generated always as identity primary key, category  text not null unique);
create table tags       (tag_no       integer generated always as identity primary key, tag       text not null unique);

-- Referrers: the URL without query and fragment, and its domain.
create table referrers (
    referrer_no  integer generated always as identity primary key,
    referrer_url text not null unique,
    referrer     text not null
);

-- Campaigns: the five utm_* parameters together, since they come together. The key is the five as a
-- JSON array.
create table campaigns (
    campaign_no  integer generated always as identity primary key,
    campaign_key text not null unique,
    utm_source   text,
    utm_medium   text,
    utm_campaign text,
    utm_term     text,
    utm_content  text
);

-- User agents, with what was read off them. Kept apart from the events so that a better parser can
-- correct history by updating this table.
create table agents (
    agent_no        integer generated always as identity primary key,
    user_agent      text not null unique,
    browser         text,
    browser_version text,
    os              text,
    os_version      text,
    device          text,
    is_bot          boolean not null
);

-- Visitors, numbered from 1 within their property. No foreign keys from here on: the service is the
-- only writer, and the check would cost as much as the row.
create table visitors (
    property_no integer not null,
    visitor_id  text not null,
    visitor_no  integer not null,
    primary key (property_no, visitor_id),
    constraint visitors_visitor_no_key unique (property_no, visitor_no)
);

-- Known people.
create table users (
    user_no     integer generated always as identity primary key,
    property_no integer not null,
    user_id     text not null,
    constraint users_user_id_key unique (property_no, user_id)
);
