-- Up Migration

-- Events whose sends have passed through here, for a day: the sending device alone is told the transaction id in `unsigned`.
create table sent_events (
  event_id    text        not null,
  device      bigint      not null references devices on delete cascade,
  txn_id      text        not null,
  sent_at     timestamptz not null default now(),
  primary key (event_id, device)
);
create index sent_events_device on sent_events (device);
create index sent_events_sent on sent_events (sent_at);
