-- Up Migration

-- When this account by itself was found to be of a homeserver that was restored from a backup (T3): after three of them all accounts are taken for it.
alter table accounts add column found_restored_at timestamptz;
create index accounts_found_restored on accounts (found_restored_at) where found_restored_at is not null;
-- The device's next sync without `since` has to wait for a place in sync_slots.
alter table devices add column restored boolean not null default false;
create index devices_restored on devices (account) where restored;
-- The check of the account's rooms is for a client that has just come: it goes before those that are due anyway.
alter table accounts add column check_first boolean not null default false;

-- Accounts whose newest events the homeserver is asked for after a start or a gap in polling (T3). `events`: a JSON list of room id and event id,
-- newest first, from before the polls went on. `rank`: in which order they are asked.
create table restore_probes (
  account     bigint      primary key references accounts on delete cascade,
  rank        smallint    not null,
  events      text        not null,
  chosen_at   timestamptz not null default now(),
  due_at      timestamptz not null default now()
);

-- One row: when the homeserver may next be asked what no client waits for. After trouble the rate is halved, each minute without doubles it again.
create table question_rate (
  single      boolean     primary key default true check (single),
  next_at     timestamptz not null default now(),
  halvings    smallint    not null default 0,
  troubled_at timestamptz not null default now()
);
insert into question_rate default values;
