/** The bodies that are stored of events which an account gets (T6): to compare them, and to store what it sees otherwise. */

import { hash } from "node:crypto";
import type { AccountNo, EventId, RoomId } from "../../wire/ids.ts";
import { byKey, type Tx } from "../db.ts";
import { OPEN, type OwnBodyWrite } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

export type EventBody = { readonly event_id: EventId; readonly body: string; readonly redacted_because: boolean };
export type SharedBody = { readonly body: string; readonly pruned: boolean };
type DifferingBody = SharedBody & { readonly event_id: EventId };
export type StoredBodies = {
  /** Shared bodies that are not the text that was asked about, or are pruned. What accounts of the same transaction bring is added to it. */
  readonly shared: Map<EventId, SharedBody>;
  /** Events of which the account has its own copy. */
  readonly own: ReadonlySet<EventId>;
};

/** What bodies are compared by: sql/0016_own_events.sql computes the same. */
export function bodyHash(body: string): string {
  return hash("sha256", body);
}

/** What is stored of the bodies that accounts got. Of the shared ones only those that differ are read: usually none. */
export async function readBodies(
  tx: Tx,
  asked: readonly { readonly account: AccountNo; readonly bodies: readonly EventBody[] }[],
): Promise<Map<AccountNo, StoredBodies>> {
  const pairs = new Map<string, { readonly id: EventId; readonly hash: string }>();
  for (const { event_id: id, body, redacted_because } of asked.flatMap(({ bodies }) => bodies)) {
    // Whether a redacted one is stored as such must be known even if the texts are the same.
    const pair = { id, hash: redacted_because ? "" : bodyHash(body) };
    pairs.set(`${pair.hash} ${id}`, pair);
  }
  const got = [...pairs.values()];
  const accounts = asked.map(({ account }) => account);
  const [differing, copies] = got.length === 0 ? [[], []] : await Promise.all([readDiffering(tx, got), readCopies(tx, accounts, got)]);
  const shared = new Map(differing.map(({ event_id, body, pruned }) => [event_id, { body, pruned }]));
  const copiesOf = Map.groupBy(copies, (row) => row.account);
  return new Map(accounts.map((account) => [account, { shared, own: new Set((copiesOf.get(account) ?? []).map((row) => row.event_id)) }]));
}

/** The same for one account. */
export async function readBodiesOf(tx: Tx, account: AccountNo, bodies: readonly EventBody[]): Promise<StoredBodies> {
  return (await readBodies(tx, [{ account, bodies }])).get(account) ?? noBodies();
}

/** Of the events whose stored bodies differ, those that are present state of the account's room. */
export async function presentState(tx: Tx, account: AccountNo, room: RoomId, { shared, own }: StoredBodies): Promise<Set<EventId>> {
  const ids = [...new Set([...shared.keys(), ...own])];
  if (ids.length === 0) return new Set();
  const rows = await tx<{ event_id: EventId }[]>`
    select event_id from state where event_id = any(${ids}::text[]) and account = ${account} and room_id = ${room} and to_ord = ${OPEN}::bigint
    union all
    select event_id from members where event_id = any(${ids}::text[]) and account = ${account} and room_id = ${room} and to_ord = ${OPEN}::bigint`;
  return new Set(rows.map((row) => row.event_id));
}

export function noBodies(): StoredBodies {
  return { shared: new Map(), own: new Set() };
}

async function readDiffering(tx: Tx, got: readonly { readonly id: EventId; readonly hash: string }[]): Promise<DifferingBody[]> {
  return await tx<DifferingBody[]>`
    select e.event_id, e.body, e.pruned
    from unnest(${got.map(({ id }) => id)}::text[], ${got.map((pair) => pair.hash)}::text[]) as got(event_id, hash)
    cross join lateral (select * from events e where e.event_id = got.event_id ${byKey(tx)}) e
    where e.pruned or encode(sha256(convert_to(e.body, 'UTF8')), 'hex') <> got.hash`;
}

async function readCopies(
  tx: Tx,
  accounts: readonly AccountNo[],
  got: readonly { readonly id: EventId }[],
): Promise<{ readonly account: AccountNo; readonly event_id: EventId }[]> {
  return await tx<{ account: AccountNo; event_id: EventId }[]>`
    select account, event_id from own_events
    where account = any(${[...accounts]}::bigint[]) and event_id = any(${got.map(({ id }) => id)}::text[])`;
}

/** Call it after the redactions are written: a redacted event is the same for everybody. */
export function writeOwnBodies(
  tx: Tx,
  batches: readonly { readonly account: AccountNo; readonly writes: { readonly ownBodies: readonly OwnBodyWrite[] } }[],
): Statement[] {
  const rows = batches.flatMap(({ account, writes }) => writes.ownBodies.map((row) => ({ account, ...row }))).toSorted(byId);
  return [
    ...some(
      rows.filter((row) => row.body !== null),
      (json) => tx`
      insert into own_events (account, event_id, room_id, body)
      select r.account, r.event_id, r.room_id, r.body
      from json_to_recordset(${json}::text::json) r (account bigint, event_id text, room_id text, body text)
      cross join lateral (select from events e where e.event_id = r.event_id and not e.pruned ${byKey(tx)}) e
      on conflict (account, event_id) do update set body = excluded.body`,
    ),
    ...some(
      rows.filter((row) => row.body === null),
      (json) => tx`
      delete from own_events o using json_to_recordset(${json}::text::json) r (account bigint, event_id text)
      where o.account = r.account and o.event_id = r.event_id`,
    ),
  ];
}

function byId(a: { readonly event_id: string }, b: { readonly event_id: string }): number {
  return a.event_id < b.event_id ? -1 : 1;
}
