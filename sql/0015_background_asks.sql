-- Up Migration

-- What the homeserver was asked for in the background because polls do not bring it: a hero's member event (T14) or, with an empty user id, a
-- room that was left before the account's first v2 response (T22). It is not asked again before `due_at`.
create table background_asks (
  account     bigint      not null references accounts on delete cascade,
  room_id     text        not null,
  user_id     text        not null,
  due_at      timestamptz not null,
  primary key (account, room_id, user_id)
);
