/**
 * Room state at a position, and its changes. Members are in a separate table (members.ts); here only `stateEnded` reads it.
 *
 * A query about several rooms looks up each room separately: see byKey in db.ts.
 */

import type { AccountNo, EventId, Position, RoomId } from "../wire/ids.ts";
import { indexKey, isCutKey } from "../wire/index-key.ts";
import { byKey, type Db } from "./db.ts";
import { bodyOf, type EventRow } from "./event-row.ts";

export type StateRow = EventRow & { readonly from_ord: number };

/** `[type, state_key]` pairs of index keys (wire/index-key.ts), `*` for any; "all" = every state event. Never matches m.room.member. */
export type StateSelector = "all" | StatePairs;
type StatePairs = readonly (readonly [string, string])[];

/** A selector of types and state keys as a client names them, however long. */
export function stateSelector(named: StateSelector): StateSelector {
  return named === "all" ? "all" : statePairs(named);
}

/** The same of pairs. */
export function statePairs(named: StatePairs): StatePairs {
  return named.map(([type, key]) => [indexKey(type), indexKey(key)]);
}

/** A room and the position whose state is asked for. */
export type StateAt = { readonly roomId: RoomId; readonly at: number };

/** The state of each room at its position, by type, then key. */
export async function stateAt(db: Db, account: AccountNo, rooms: readonly StateAt[], selector: StateSelector): Promise<StateRow[]> {
  if (rooms.length === 0 || (selector !== "all" && selector.length === 0)) return [];
  return db<StateRow[]>`
    select s.room_id, s.from_ord, s.event_id, s.unsigned, s.age_ts, s.type, s.state_key, e.sender, ${bodyOf(db, account)} as body
    from unnest(${rooms.map((r) => r.roomId)}::text[], ${rooms.map((r) => r.at)}::bigint[]) as r(room_id, at)
    cross join lateral (
      select * from state s
      where s.account = ${account} and s.room_id = r.room_id and s.from_ord <= r.at and s.to_ord > r.at and ${selected(db, selector)} ${byKey(db)}) s
    join events e using (event_id)
    order by s.room_id, s.type collate "C", s.state_key collate "C"`;
}

/** A room and two positions: what began after `from` and holds at `to`. */
export type StateSpan = { readonly roomId: RoomId; readonly from: number; readonly to: number };

/** The state of each room at its span's end that began after its start, by type, then key: what changed. */
export async function stateChanged(db: Db, account: AccountNo, spans: readonly StateSpan[], selector: StateSelector): Promise<StateRow[]> {
  if (spans.length === 0 || (selector !== "all" && selector.length === 0)) return [];
  return db<StateRow[]>`
    select s.room_id, s.from_ord, s.event_id, s.unsigned, s.age_ts, s.type, s.state_key, e.sender, ${bodyOf(db, account)} as body
    from unnest(${spans.map((r) => r.roomId)}::text[], ${spans.map((r) => r.from)}::bigint[], ${spans.map((r) => r.to)}::bigint[]) as r(room_id, after, until)
    cross join lateral (
      select * from state s
      where s.account = ${account} and s.room_id = r.room_id and s.from_ord > r.after and s.from_ord <= r.until and s.to_ord > r.until
        and ${selected(db, selector)} ${byKey(db)}) s
    join events e using (event_id)
    order by s.room_id, s.type collate "C", s.state_key collate "C"`;
}

/** `type` and `state_key` are index keys. */
type EndedKey = { readonly room_id: RoomId; readonly type: string; readonly state_key: string; readonly event_id: EventId };
/** State that has ended. `stub`: its type and key as a client knows them. */
export type EndedState = EndedKey & { readonly stub: { readonly type: string; readonly state_key: string } };

/** State of each room, including members, that existed at its span's start and no longer exists at its end, without a replacement (MSC4186 StateStub). */
export async function stateEnded(db: Db, account: AccountNo, spans: readonly StateSpan[]): Promise<EndedState[]> {
  if (spans.length === 0) return [];
  const rows = await db<EndedKey[]>`
    with spans as (
      select * from unnest(${spans.map((r) => r.roomId)}::text[], ${spans.map((r) => r.from)}::bigint[], ${spans.map((r) => r.to)}::bigint[]) as r(room_id, after, until)),
    ended as (
      select s.room_id, s.type, s.state_key, s.event_id
      from spans r
      join state s on s.account = ${account} and s.room_id = r.room_id and s.from_ord <= r.after and s.to_ord > r.after and s.to_ord <= r.until
      where not exists (
        select from state n where n.account = ${account} and n.room_id = s.room_id and n.type = s.type and n.state_key = s.state_key
          and n.from_ord <= r.until and n.to_ord > r.until)
      union all
      select m.room_id, 'm.room.member', m.user_id, m.event_id
      from spans r
      join members m on m.account = ${account} and m.room_id = r.room_id and m.from_ord <= r.after and m.to_ord > r.after and m.to_ord <= r.until
        and m.to_ord < 9223372036854775807
      where not exists (
        select from members n where n.account = ${account} and n.room_id = m.room_id and n.user_id = m.user_id
          and n.from_ord <= r.until and n.to_ord > r.until))
    select room_id, type, state_key, event_id from ended order by room_id, type collate "C", state_key collate "C"`;
  return withStubs(db, rows);
}

async function withStubs(db: Db, rows: readonly EndedKey[]): Promise<EndedState[]> {
  const cut = rows.filter(({ type, state_key }) => isCutKey(type) || isCutKey(state_key)).map((row) => row.event_id);
  const bodies =
    cut.length === 0 ? [] : await db<{ event_id: EventId; body: string }[]>`select event_id, body from events where event_id = any(${cut}::text[])`;
  const stubs = new Map(bodies.map(({ event_id, body }) => [event_id, JSON.parse(body) as EndedState["stub"]]));
  return rows.map((row) => {
    const { type, state_key } = stubs.get(row.event_id) ?? row;
    return { ...row, stub: { type, state_key } };
  });
}

/** Rooms in which any state event began to apply in (from, to], members excluded. */
export async function roomsWithStateChanges(db: Db, account: AccountNo, from: Position, to: Position): Promise<RoomId[]> {
  const rows = await db<{ room_id: RoomId }[]>`
    select distinct room_id from state where account = ${account} and from_ord > ${from} and from_ord <= ${to}`;
  return rows.map((row) => row.room_id);
}

/** Which state event, and at which position. */
export type StateEventAt = { readonly roomId: RoomId; readonly type: string; readonly stateKey: string; readonly at: Position };

/** The body and sender of one state event, e.g. the power levels; null: there was none at that position. */
export async function stateEvent(
  db: Db,
  account: AccountNo,
  { roomId, type, stateKey, at }: StateEventAt,
): Promise<{ body: string; sender: string } | null> {
  const [row] = await db<{ body: string; sender: string }[]>`
    select ${bodyOf(db, account)} as body, e.sender from state s join events e using (event_id)
    where s.account = ${account} and s.room_id = ${roomId} and s.type = ${type} and s.state_key = ${stateKey}
      and s.from_ord <= ${at} and s.to_ord > ${at}`;
  return row ?? null;
}

function selected(db: Db, selector: StateSelector) {
  if (selector === "all") return db`true`;
  const exact = selector.filter(([type, key]) => type !== "*" && key !== "*");
  const anyKey = selector.filter(([type, key]) => type !== "*" && key === "*").map(([type]) => type);
  const anyType = selector.filter(([type, key]) => type === "*" && key !== "*").map(([, key]) => key);
  const all = selector.some(([type, key]) => type === "*" && key === "*");
  return db`(${all} or s.type = any(${anyKey}::text[]) or s.state_key = any(${anyType}::text[])
    or (s.type, s.state_key) in (select * from unnest(${exact.map(([type]) => type)}::text[], ${exact.map(([, key]) => key)}::text[])))`;
}
