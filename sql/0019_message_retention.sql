-- Up Migration

-- What the homeserver said about itself, valid for all accounts. `value`: JSON.
create table homeserver_facts (
  name  text primary key,
  value text not null
);

-- Rooms whose m.room.retention is stored already: their facts get its max_lifetime (T4). `sources` is the last member of the facts.
update room_facts f set facts = regexp_replace(f.facts, '^(.*"sources":\{)', '\1"lifetime":' || s.lifetime || case when f.facts like '%"sources":{}}' then '' else ',' end)
  from (
    select s.account, s.room_id, substring(e.body from '"max_lifetime"\s*:\s*(\d{1,15})\s*[,}]') as lifetime
    from state s join events e using (event_id)
    where s.type = 'm.room.retention' and s.state_key = '' and s.to_ord = 9223372036854775807
  ) s
  where f.account = s.account and f.room_id = s.room_id and f.to_ord = 9223372036854775807 and s.lifetime is not null;

-- Bans that ask for the user's events to be redacted (T5): whether the homeserver does so is asked. `name`: the ban's event id.
alter table rereads drop constraint rereads_kind_check;
alter table rereads add constraint rereads_kind_check check (kind in ('room', 'account_data', 'ban'));
