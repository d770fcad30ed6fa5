/** What ingest must know before it can plan a batch: read in one go, under the account's lock. */

import type { AccountNo, EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Membership, RoomFacts } from "../room-facts.ts";
import type { RoomRow, StandingRow } from "./rows.ts";
import { OPEN } from "./rows.ts";

/** The rows that a response may change or that decide how it is read. */
export type Touched = {
  readonly rooms: readonly RoomId[];
  /** Read every room's facts too: m.direct came, or the account is synced anew. */
  readonly everything: boolean;
  /** Events of the timelines. */
  readonly events: readonly EventId[];
  readonly state: readonly StateKey[];
  readonly members: readonly MemberKey[];
  readonly receipts: readonly ReceiptKey[];
  readonly accountData: readonly AccountDataKey[];
  readonly presence: readonly UserId[];
  /** Events that are redacted, or come redacted. */
  readonly redacted: readonly EventId[];
};
export type StateKey = { readonly room_id: RoomId; readonly type: string; readonly state_key: string };
export type MemberKey = { readonly room_id: RoomId; readonly user_id: UserId };
export type ReceiptKey = { readonly room_id: RoomId; readonly user_id: UserId; readonly kind: string; readonly thread_id: string };
export type AccountDataKey = { readonly room_id: RoomId | ""; readonly type: string };

/** `membership` and `facts` null: the room has no open facts row. */
export type RoomNow = RoomRow & { readonly membership: Membership | null; readonly facts: RoomFacts | null };
export type KnownRoom = RoomNow & {
  /** The stored typing set, JSON; null: there never was one. */
  readonly typing: string | null;
  /** The pending invite or knock. */
  readonly pending: { readonly kind: "invite" | "knock"; readonly body: string } | null;
  /** null: it has none yet. */
  readonly standing: StandingRow | null;
};
export type KnownState = StateKey & { readonly event_id: EventId };
/** `body` only where the display name may be needed. */
export type KnownMember = MemberKey & { readonly event_id: EventId; readonly membership: string; readonly body: string };
/** An event that this account has, with where it has it. `open`: it is the present state of its key. */
export type KnownEvent = {
  readonly room_id: RoomId;
  readonly event_id: EventId;
  readonly type: string;
  readonly state_key: string | null;
  readonly body: string;
  readonly pruned: boolean;
  readonly unsigned: string | null;
  readonly open: boolean;
};

export type Known = {
  readonly rooms: readonly KnownRoom[];
  /** Timeline and older rows of the touched events; ord 0: in the fetched history. */
  readonly seen: readonly { readonly room_id: RoomId; readonly event_id: EventId; readonly ord: number }[];
  readonly state: readonly KnownState[];
  readonly members: readonly KnownMember[];
  readonly receipts: readonly (ReceiptKey & { readonly event_id: EventId; readonly data: string })[];
  readonly accountData: readonly (AccountDataKey & { readonly body: string })[];
  readonly presence: readonly { readonly user_id: UserId; readonly body: string }[];
  readonly redacted: readonly KnownEvent[];
};

type RoomRecord = Omit<KnownRoom, "facts" | "pending" | "standing"> & {
  readonly facts: string | null;
  readonly standing: string | null;
  readonly kind: "invite" | "knock" | null;
  readonly body: string | null;
};

/** Sends every query that has something to ask at once. */
export async function readKnown(tx: Tx, account: AccountNo, touched: Touched): Promise<Known> {
  const [rooms, seen, state, members, receipts, accountData, presence, redacted] = await Promise.all([
    readRooms(tx, account, touched),
    readSeen(tx, account, touched),
    readState(tx, account, touched.state),
    readMembers(tx, account, touched.members),
    readReceipts(tx, account, touched.receipts),
    readAccountData(tx, account, touched.accountData),
    readPresence(tx, account, touched.presence),
    readRedacted(tx, account, touched.redacted),
  ]);
  return { rooms, seen, state, members, receipts, accountData, presence, redacted };
}

async function readRooms(tx: Tx, account: AccountNo, touched: Touched): Promise<KnownRoom[]> {
  if (touched.rooms.length === 0 && !touched.everything) return [];
  const rows = await tx<RoomRecord[]>`
    select t.room_id, coalesce(r.last_ord, 0) as last_ord, coalesce(r.last_ts, 0) as last_ts, coalesce(r.members, 'none') as members,
           coalesce(r.unsure_ord, 0) as unsure_ord, coalesce(r.pending_gap, false) as pending_gap, f.membership, f.facts, y.users as typing, i.kind, i.body,
           to_json(s)::text as standing
    from (select unnest(${[...touched.rooms]}::text[]) as room_id
          union select room_id from room_facts where ${touched.everything} and account = ${account} and to_ord = ${OPEN}::bigint) t
    left join rooms r on r.account = ${account} and r.room_id = t.room_id
    left join room_facts f on f.account = ${account} and f.room_id = t.room_id and f.to_ord = ${OPEN}::bigint
    left join typing y on y.account = ${account} and y.room_id = t.room_id
    left join invites i on i.account = ${account} and i.room_id = t.room_id and not i.gone
    left join standings s on s.account = ${account} and s.room_id = t.room_id`;
  return rows.map(({ facts, kind, body, standing, ...room }) => ({
    ...room,
    standing: standing === null ? null : (JSON.parse(standing) as StandingRow),
    facts: facts === null ? null : (JSON.parse(facts) as RoomFacts),
    pending: kind === null || body === null ? null : { kind, body },
  }));
}

async function readSeen(tx: Tx, account: AccountNo, touched: Touched): Promise<{ room_id: RoomId; event_id: EventId; ord: number }[]> {
  if (touched.events.length === 0) return [];
  const ids = [...touched.events];
  return await tx<{ room_id: RoomId; event_id: EventId; ord: number }[]>`
    select room_id, event_id, ord from timeline where event_id = any(${ids}::text[]) and account = ${account}
    union all
    select room_id, event_id, 0 from older where event_id = any(${ids}::text[]) and account = ${account}`;
}

async function readState(tx: Tx, account: AccountNo, state: readonly StateKey[]): Promise<KnownState[]> {
  if (state.length === 0) return [];
  return await tx<KnownState[]>`
    select s.room_id, s.type, s.state_key, s.event_id
    from json_to_recordset(${JSON.stringify(state)}::text::json) k (room_id text, type text, state_key text)
    join state s on s.account = ${account} and s.room_id = k.room_id and s.type = k.type and s.state_key = k.state_key
      and s.to_ord = ${OPEN}::bigint`;
}

/** All of the rooms' present state. */
export async function readWholeState(tx: Tx, account: AccountNo, rooms: readonly RoomId[]): Promise<KnownState[]> {
  if (rooms.length === 0) return [];
  return await tx<KnownState[]>`
    select s.room_id, s.type, s.state_key, s.event_id from unnest(${[...rooms]}::text[]) r (room_id)
    join state s on s.account = ${account} and s.room_id = r.room_id and s.to_ord = ${OPEN}::bigint`;
}

async function readMembers(tx: Tx, account: AccountNo, members: readonly MemberKey[]): Promise<KnownMember[]> {
  if (members.length === 0) return [];
  return await tx<KnownMember[]>`
    select m.room_id, m.user_id, m.event_id, m.membership, coalesce(e.body, '{}') as body
    from json_to_recordset(${JSON.stringify(members)}::text::json) k (room_id text, user_id text)
    join members m on m.account = ${account} and m.room_id = k.room_id and m.user_id = k.user_id and m.to_ord = ${OPEN}::bigint
    left join events e on e.event_id = m.event_id`;
}

async function readReceipts(tx: Tx, account: AccountNo, receipts: readonly ReceiptKey[]): Promise<Known["receipts"]> {
  if (receipts.length === 0) return [];
  return await tx<(ReceiptKey & { event_id: EventId; data: string })[]>`
    select r.room_id, r.user_id, r.kind, r.thread_id, r.event_id, r.data
    from json_to_recordset(${JSON.stringify(receipts)}::text::json) k (room_id text, user_id text, kind text, thread_id text)
    join receipts r on r.account = ${account} and r.room_id = k.room_id and r.user_id = k.user_id and r.kind = k.kind and r.thread_id = k.thread_id`;
}

export async function readAccountData(tx: Tx, account: AccountNo, keys: readonly AccountDataKey[]): Promise<Known["accountData"]> {
  if (keys.length === 0) return [];
  return await tx<(AccountDataKey & { body: string })[]>`
    select a.room_id, a.type, a.body
    from json_to_recordset(${JSON.stringify(keys)}::text::json) k (room_id text, type text)
    join account_data a on a.account = ${account} and a.room_id = k.room_id and a.type = k.type`;
}

async function readPresence(tx: Tx, account: AccountNo, users: readonly UserId[]): Promise<Known["presence"]> {
  if (users.length === 0) return [];
  return await tx<{ user_id: UserId; body: string }[]>`
    select user_id, body from presence where account = ${account} and user_id = any(${[...users]}::text[])`;
}

async function readRedacted(tx: Tx, account: AccountNo, ids: readonly EventId[]): Promise<Known["redacted"]> {
  if (ids.length === 0) return [];
  const list = [...ids];
  return await tx<KnownEvent[]>`
    select x.room_id, e.event_id, e.type, e.state_key, e.body, e.pruned, max(x.unsigned) as unsigned, bool_or(x.open) as open
    from (
      select room_id, event_id, unsigned, false as open from timeline where event_id = any(${list}::text[]) and account = ${account}
      union all select room_id, event_id, unsigned, to_ord = ${OPEN}::bigint from state where event_id = any(${list}::text[]) and account = ${account}
      union all select room_id, event_id, unsigned, to_ord = ${OPEN}::bigint from members where event_id = any(${list}::text[]) and account = ${account}
      union all select room_id, event_id, unsigned, false from older where event_id = any(${list}::text[]) and account = ${account}
    ) x
    join events e on e.event_id = x.event_id
    group by x.room_id, e.event_id`;
}

/** How many are joined and invited among the known members of each room. */
export async function countMembers(
  tx: Tx,
  account: AccountNo,
  rooms: readonly RoomId[],
): Promise<{ room_id: RoomId; joined: number; invited: number }[]> {
  if (rooms.length === 0) return [];
  return await tx<{ room_id: RoomId; joined: number; invited: number }[]>`
    select r.room_id, count(*) filter (where m.membership = 'join') as joined, count(*) filter (where m.membership = 'invite') as invited
    from unnest(${[...rooms]}::text[]) r (room_id)
    left join members m on m.account = ${account} and m.room_id = r.room_id and m.to_ord = ${OPEN}::bigint
    group by r.room_id`;
}

/** The first members of each room, joined before invited, by user id, `me` left out: stand-ins for the heroes that the homeserver does not tell. */
export async function readStandIns(tx: Tx, account: AccountNo, rooms: readonly RoomId[], me: UserId): Promise<KnownMember[]> {
  if (rooms.length === 0) return [];
  return await tx<KnownMember[]>`
    select m.room_id, m.user_id, m.event_id, m.membership, coalesce(e.body, '{}') as body
    from unnest(${[...rooms]}::text[]) r (room_id),
    lateral (
      select * from members m
      where m.account = ${account} and m.room_id = r.room_id and m.to_ord = ${OPEN}::bigint and m.membership in ('join', 'invite') and m.user_id <> ${me}
      order by m.membership desc, m.user_id limit 10
    ) m
    left join events e on e.event_id = m.event_id`;
}
