-- Up Migration

-- Bodies of events that an account's own v2 shows otherwise than `events` has them (T6): an erased sender's, for example. Nobody else reads
-- them. A redaction counts for everybody: if events.pruned is set, the shared body is shown.
create table own_events (
  account     bigint      not null,
  event_id    text        not null,
  room_id     text        not null,
  body        text        not null,                    -- as events.body
  primary key (account, event_id)
);
create index own_events_event on own_events (event_id);

-- Instead of the one in 0001: it also fails if the stored body is not the one that the transaction has compared its own with, because another
-- transaction was faster. `hashes`: SHA-256 of the bodies; null: not compared. What this transaction has inserted needs no comparison.
drop function keep_events(text[]);
create function keep_events(ids text[], hashes text[]) returns void language plpgsql as $$
declare
  kept bigint;
begin
  perform from events where event_id = any(ids) order by event_id for key share;
  get diagnostics kept = row_count;
  if kept < cardinality(ids) then
    raise exception 'an event was deleted while it was being written' using errcode = 'serialization_failure';
  end if;
  -- Each is looked up by its key, however large `events` seemed when this was planned.
  perform from unnest(ids, hashes) as given(event_id, hash)
  cross join lateral (select e.xmin, e.pruned, e.body from events e where e.event_id = given.event_id offset 0) e
  where not e.pruned and e.xmin <> pg_current_xact_id()::xid and encode(sha256(convert_to(e.body, 'UTF8')), 'hex') <> given.hash limit 1;
  if found then
    raise exception 'an event was written with another body' using errcode = 'serialization_failure';
  end if;
end $$;
