-- Up Migration

-- When the account's rooms are next compared with the homeserver's (T1), and when they last were. A day's accounts are spread over the day.
alter table accounts add column check_at timestamptz not null default now() + random() * interval '1 day';
alter table accounts add column checked_at timestamptz;
-- When a sync without `since` last answered what is cheap to ask in no other way: at most one a day and account.
alter table accounts add column compared_at timestamptz;
create index accounts_check on accounts (check_at);
-- The homeserver was restored from a backup (T3): when the account's next first sync is stored, everything older is deleted, and its sessions end.
alter table accounts add column restored boolean not null default false;

-- Rooms that the account is in here, but not by the homeserver's list of rooms. A second look decides.
create table doubted_rooms (
  account     bigint      not null references accounts on delete cascade,
  room_id     text        not null,
  position    bigint      not null,                    -- accounts.position before the homeserver was asked
  asked_at    timestamptz not null default now(),
  primary key (account, room_id)
);
create index doubted_rooms_asked on doubted_rooms (asked_at);

-- The syncs without `since` that may be under way at the same time, over all processes, besides accounts' first ones.
create table sync_slots (
  slot        smallint    primary key,
  expires_at  timestamptz not null default now()
);
insert into sync_slots (slot) values (1), (2);
