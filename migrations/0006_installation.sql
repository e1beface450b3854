-- What is true of the database as a whole, and shared by all servers on it: one row.
create table installation (
    is_only        boolean primary key default true check (is_only),
    -- Seals the tokens that callers hand back, so that one of another installation, or a made-up one, is
    -- recognised. 244 random bits; pgcrypto need not be there.
    token_secret   bytea not null
);

insert into installation (token_secret)
values (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
