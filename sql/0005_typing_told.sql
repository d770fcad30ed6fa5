-- Up Migration

-- When the homeserver told the set: it is confirmed by that, though the lease's own note of the poll is written later.
alter table typing add column told_at timestamptz not null default now();
