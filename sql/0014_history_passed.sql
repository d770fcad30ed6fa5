-- Up Migration

-- When a client of the account last read a room's history through this server (T20); null: not seen. Noted once a day at most.
alter table accounts add column history_at timestamptz;
