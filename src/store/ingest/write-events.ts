/** Event bodies that all accounts share: written once, pruned for good. */

import type { AccountNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { bodyHash } from "./bodies.ts";
import { holdEvents, keepEvents } from "./hold-events.ts";
import type { EventWrite, RoomWrites } from "./row-types.ts";
import { OPEN } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

type Pruned = Pick<EventWrite, "event_id" | "body">;

/**
 * Inserts the bodies that are missing; a pruned version replaces a full one, never the other way round. In order of event ids: accounts that
 * share rooms write the same rows at the same time, and must not deadlock. `do nothing` and an update of the few pruned ones, because `do
 * update … where` would lock every row that exists already.
 */
export function writeEvents(tx: Tx, events: readonly EventWrite[]): Statement[] {
  const sorted = onlyOnce(events).toSorted(byId);
  const ids = sorted.map((event) => event.event_id);
  const shared = sorted.map(({ relation, ...event }) => ({
    ...event,
    body: event.shared ?? event.body,
    shared: undefined,
    relates_to: relation?.event_id,
    rel_type: relation?.rel_type,
  }));
  const own = sorted.flatMap(({ event_id: id, relation, shared: other }) => (relation && other !== null ? [{ id, ...relation }] : []));
  return [
    // Existing bodies must not be deleted until the rows that refer to them are committed.
    ...holdEvents(tx, ids),
    ...some(
      shared,
      (rows) => tx`
      insert into events (event_id, type, state_key, sender, ts, body, pruned, relates_to, rel_type)
      select event_id, type, state_key, sender, ts, body, pruned, relates_to, rel_type
      from json_to_recordset(${rows}::text::json) r (
        event_id text, type text, state_key text, sender text, ts bigint, body text, pruned boolean, relates_to text, rel_type text)
      on conflict do nothing`,
    ),
    // Whoever was faster may have stored another body than the one that this account's was compared with.
    ...keepEvents(
      tx,
      shared.map(({ event_id, body, pruned }) => ({ event_id, hash: pruned ? null : bodyHash(body) })),
    ),
    // The shared body may be that of an erased sender, which relates to nothing.
    ...some(
      own,
      (rows) => tx`
      update events e set relates_to = r.event_id, rel_type = r.rel_type
      from json_to_recordset(${rows}::text::json) r (id text, event_id text, rel_type text) where e.event_id = r.id and e.relates_to is null`,
    ),
    ...prune(
      tx,
      sorted.filter((event) => event.pruned),
    ),
  ];
}

/** Several accounts may have received the same event, some of them pruned. */
function onlyOnce(events: readonly EventWrite[]): EventWrite[] {
  const byIds = new Map<EventWrite["event_id"], EventWrite>();
  for (const event of events) if (event.pruned || !byIds.has(event.event_id)) byIds.set(event.event_id, event);
  return [...byIds.values()];
}

/** Prunes stored events, and records the redaction in every row that these accounts have of them. */
export function writeRedactions(
  tx: Tx,
  batches: readonly { readonly account: AccountNo; readonly writes: Pick<RoomWrites, "redactions"> }[],
): Statement[] {
  const redactions = batches.flatMap(({ account, writes }) => writes.redactions.map((row) => ({ account, ...row }))).toSorted(byId);
  return [
    ...prune(tx, redactions),
    ...some(
      redactions,
      (rows) => tx`
      with r as (select * from json_to_recordset(${rows}::text::json) r (account bigint, event_id text, unsigned text, sort_name text, ord bigint)),
      t as (update timeline x set unsigned = r.unsigned, sticky_until = null from r where x.event_id = r.event_id and x.account = r.account),
      o as (update older x set unsigned = r.unsigned, sticky_until = null from r where x.event_id = r.event_id and x.account = r.account),
      k as (delete from sticky_events x using r where x.event_id = r.event_id and x.account = r.account),
      f as (update feed_events x set unsigned = r.unsigned from r where x.event_id = r.event_id and x.account = r.account),
      s as (update state x set unsigned = r.unsigned from r where x.event_id = r.event_id and x.account = r.account),
      m as (
        update members x set unsigned = r.unsigned, to_ord = case when x.to_ord = ${OPEN}::bigint then coalesce(r.ord, x.to_ord) else x.to_ord end
        from r where x.event_id = r.event_id and x.account = r.account
        returning x.*, r.sort_name as new_name, r.ord as at)
      insert into members (account, room_id, user_id, from_ord, event_id, membership, was, sort_name, learned, unsigned, age_ts)
      select account, room_id, user_id, at, event_id, membership, was, new_name, true, unsigned, age_ts from m where to_ord = at`,
    ),
  ];
}

function prune(tx: Tx, events: readonly Pruned[]): Statement[] {
  const bodies = events.map(({ event_id, body }) => ({ event_id, body }));
  return [
    ...some(
      bodies,
      (rows) => tx`
      update events e set body = r.body, pruned = true
      from json_to_recordset(${rows}::text::json) r (event_id text, body text) where e.event_id = r.event_id and not e.pruned`,
    ),
    ...some(
      bodies.map(({ event_id }) => event_id),
      (ids) => tx`delete from own_events where event_id in (select json_array_elements_text(${ids}::text::json))`,
    ),
  ];
}

function byId(a: { readonly event_id: string }, b: { readonly event_id: string }): number {
  return a.event_id < b.event_id ? -1 : 1;
}
