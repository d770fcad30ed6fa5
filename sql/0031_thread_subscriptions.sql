-- Up Migration

-- The account's thread subscriptions (MSC4306), each as it last changed; they come from the homeserver's own sliding sync (MSC4308).
create table thread_subscriptions (
  account     bigint      not null references accounts on delete cascade,
  room_id     text        not null,
  thread_root text        not null,
  subscribed  boolean     not null,
  change      text        not null,                    -- JSON: what the homeserver says of the subscription, or of its end
  ord         bigint      not null,
  primary key (account, room_id, thread_root)
);
create index thread_subscriptions_delta on thread_subscriptions (account, ord);

-- The `pos` of the homeserver's sliding sync up to which they are stored; null: nothing is.
alter table accounts add column threads_pos text;
-- Where the homeserver has those that were too many to be stored: a `from` of its /thread_subscriptions; null: all are stored.
alter table accounts add column threads_rest text;
-- Asks for thread subscriptions.
alter table sessions add column threads boolean not null default false;
