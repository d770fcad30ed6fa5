-- Up Migration

-- Users that the account ignores no more (T2): what the homeserver withheld of them is fetched, then the account's sessions end.
create table unignored_users (
  account     bigint      not null references accounts on delete cascade,
  user_id     text        not null,
  noticed_at  timestamptz not null default now(),
  primary key (account, user_id)
);
-- Invites are withheld, too, and take a sync without `since`. When it is due (null: not needed), and when the last one was sent: at most one an hour.
alter table accounts add column invites_due_at timestamptz;
alter table accounts add column invites_asked_at timestamptz;
create index accounts_invites on accounts (invites_due_at) where invites_due_at is not null;

-- Rooms whose withheld messages could not be fetched in time. `name`: the room.
alter table rereads drop constraint rereads_kind_check;
alter table rereads add constraint rereads_kind_check check (kind in ('room', 'account_data', 'ban', 'withheld'));
