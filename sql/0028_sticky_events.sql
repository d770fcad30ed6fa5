-- Up Migration

-- How long an event is sticky (MSC4354), ms since the epoch; null: it is not.
alter table timeline add column sticky_until bigint;
alter table older add column sticky_until bigint;

-- Sticky events of rooms that the user is in, each at the place where the account got it: also those that are in no timeline.
create table sticky_events (
  account      bigint  not null,
  ord          bigint  not null,
  room_id      text    not null,
  event_id     text    not null,
  unsigned     text,
  age_ts       bigint,
  sticky_until bigint  not null,
  primary key (account, ord)
);
create unique index sticky_events_event on sticky_events (event_id, account);
create index sticky_events_until on sticky_events (sticky_until);

-- How long stored events were sticky when they came is of no use any more. null where PostgreSQL cannot read the JSON, which can be anything.
create function without_stickiness(unsigned text) returns text language plpgsql as $$
begin
  return nullif((unsigned::jsonb - 'msc4354_sticky_duration_ttl_ms')::text, '{}');
exception when others then
  return null;
end $$;
update timeline set unsigned = without_stickiness(unsigned) where unsigned like '%"msc4354_sticky_duration_ttl_ms"%';
update older set unsigned = without_stickiness(unsigned) where unsigned like '%"msc4354_sticky_duration_ttl_ms"%';
update state set unsigned = without_stickiness(unsigned) where unsigned like '%"msc4354_sticky_duration_ttl_ms"%';
update members set unsigned = without_stickiness(unsigned) where unsigned like '%"msc4354_sticky_duration_ttl_ms"%';
drop function without_stickiness(text);
