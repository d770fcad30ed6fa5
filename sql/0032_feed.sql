-- Up Migration

-- A session of the account has the stream `feed` (S6): events are recorded in feed_events as they come.
alter table accounts add column feed boolean not null default false;
create index accounts_feed on accounts (account) where feed;
-- 'alone': the session has nothing besides the feed that depends on who is ignored, so un-ignoring somebody does not end it (D25). 'beside': it has.
alter table sessions add column feed text check (feed in ('alone', 'beside'));

-- What feeds are sent, in order. `place`: above all that were given out before, from the account's ordinals. `gap` instead of an event: events that
-- could not be had, as JSON with `after` (the last event before it) and `prev_batch` (right before the first one after it; null: not known).
-- `held`: the room has a gap before it that is being fetched: it is not sent yet, and then gets another place.
create table feed_events (
  account     bigint  not null,
  place       bigint  not null,
  room_id     text    not null,
  event_id    text,
  gap         text,
  held        boolean not null default false,
  unsigned    text,
  age_ts      bigint,
  txn_id      text,
  txn_device  bigint,
  primary key (account, place)
);
create index feed_events_room on feed_events (account, room_id, place);
create index feed_events_event on feed_events (event_id, account);

-- Gaps that are being fetched. `ord`: the place of the first event after it, as long as that is held. `after_event`: the last one before it; null:
-- none is known, or `from_join`: the gap begins with the user's own join. `prev_batch`: the homeserver's token at its end, or somewhat later.
create table feed_gaps (
  account     bigint      not null,
  room_id     text        not null,
  ord         bigint      not null,
  after_event text,
  from_join   boolean     not null,
  prev_batch  text        not null,
  opened_at   timestamptz not null default now(),
  primary key (account, room_id, ord)
);
