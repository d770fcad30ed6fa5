-- Up Migration

-- Heroes without a stored member event that the homeserver was asked for (T14). They are not asked for again before `due_at`.
create table hero_asks (
  account     bigint      not null references accounts on delete cascade,
  room_id     text        not null,
  user_id     text        not null,
  due_at      timestamptz not null,
  primary key (account, room_id, user_id)
);
