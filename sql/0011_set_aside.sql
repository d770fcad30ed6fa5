-- Up Migration

-- A to-device message whose text the database refuses is kept as bytes (N3); `body` is empty then.
alter table to_device add column bytes bytea;

-- What could not be stored, part by part (N3). `body` is the text of a v2 response that holds that part alone.
alter table poison add column kind text not null default 'response';  -- room, account_data, presence, device_list, key_counts; response: all of it
alter table poison add column name text not null default '';          -- room id, type or user id
create index poison_account on poison (account, kind, name);
create index poison_at on poison (at);

-- Rooms (and global account data, by type) to be read from the homeserver again, since an answer left open how they are.
create table rereads (
  account     bigint      not null references accounts on delete cascade,
  kind        text        not null check (kind in ('room', 'account_data')),
  name        text        not null,                    -- room id or type
  cause       text        not null,                    -- set_aside, membership; too_large: the account is not complete before
  due_at      timestamptz not null default now(),
  tries       integer     not null default 0,
  primary key (account, kind, name)
);
create index rereads_due on rereads (due_at);

-- Accounts whose last poll failed, or brought what could not be stored. A row counts until a later poll succeeds (leases.polled_at).
create table poll_troubles (
  account     bigint      primary key references accounts on delete cascade,
  reason      text        not null,                    -- content: an answer could not be stored
  detail      text        not null default '',         -- of content: SQLSTATE or error name, and the statement without values
  first_at    timestamptz not null default now(),
  last_at     timestamptz not null default now(),
  failures    integer     not null default 1
);
create index poll_troubles_last on poll_troubles (last_at);
