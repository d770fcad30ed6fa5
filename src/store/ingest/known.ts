/** What ingest must know before it can plan a batch: read together, under the account's lock. */

import type { AccountNo, EventId, RoomId, UserId } from "../../wire/ids.ts";
import { byKey, type Tx } from "../db.ts";
import { bodyOf } from "../event-row.ts";
import { streamedAt } from "../history.ts";
import { type EventBody, noBodies, readBodies, type StoredBodies } from "./bodies.ts";
import { type Membership, parseFacts, type RoomFacts } from "../room-facts.ts";
import { type KnownProfile, readKnownProfiles } from "./profiles.ts";
import type { RoomWrite, StandingWrite } from "./row-types.ts";
import { OPEN } from "./row-types.ts";

/** The rows that a response may change or that decide how it is interpreted. */
export type Touched = {
  readonly rooms: readonly RoomId[];
  /** Read every room's facts too: m.direct came, or the account is synced from scratch. */
  readonly everything: boolean;
  /** Events of the timelines. */
  readonly events: readonly EventId[];
  readonly state: readonly StateKey[];
  readonly members: readonly MemberKey[];
  readonly receipts: readonly ReceiptKey[];
  readonly accountData: readonly AccountDataKey[];
  readonly presence: readonly UserId[];
  readonly profiles: readonly UserId[];
  /** Events that are redacted by the response, or came redacted in it. */
  readonly redacted: readonly EventId[];
  /** Of all events. */
  readonly bodies: readonly EventBody[];
};
export type StateKey = { readonly room_id: RoomId; readonly type: string; readonly state_key: string };
export type MemberKey = { readonly room_id: RoomId; readonly user_id: UserId };
export type ReceiptKey = { readonly room_id: RoomId; readonly user_id: UserId; readonly kind: string; readonly thread_id: string };
export type AccountDataKey = { readonly room_id: RoomId | ""; readonly type: string };

/** `membership` and `facts` null: the room has no open facts row. */
export type KnownRoomRow = RoomWrite & { readonly membership: Membership | null; readonly facts: RoomFacts | null };
export type KnownRoom = KnownRoomRow & {
  /** The stored typing set, JSON; null: there never was one. */
  readonly typing: string | null;
  /** The pending invite or knock. */
  readonly pending: { readonly kind: "invite" | "knock"; readonly body: string } | null;
  /** null: it has none yet. */
  readonly standing: StandingWrite | null;
};
export type KnownState = StateKey & { readonly event_id: EventId };
/** `body` only where the display name may be needed. */
export type KnownMember = MemberKey & { readonly event_id: EventId; readonly membership: string; readonly body: string };
/** An event that this account has, and in which room. `open`: it is the present state of its key. */
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

export type KnownRows = {
  readonly rooms: readonly KnownRoom[];
  /** Timeline and older rows of the touched events; ord 0: in fetched history. */
  readonly seen: readonly { readonly room_id: RoomId; readonly event_id: EventId; readonly ord: number }[];
  readonly state: readonly KnownState[];
  readonly members: readonly KnownMember[];
  readonly receipts: readonly (ReceiptKey & { readonly event_id: EventId; readonly data: string })[];
  readonly accountData: readonly (AccountDataKey & { readonly body: string })[];
  readonly presence: readonly { readonly user_id: UserId; readonly body: string }[];
  readonly profiles: readonly KnownProfile[];
  readonly redacted: readonly KnownEvent[];
  readonly bodies: StoredBodies;
};

type KnownRoomRecord = Omit<KnownRoom, "facts" | "pending" | "standing"> & {
  readonly account: AccountNo;
  readonly facts: string | null;
  readonly standing: string | null;
  readonly kind: "invite" | "knock" | null;
  readonly body: string | null;
};

/** Which rows to read, and of which account. */
export type AskedRows = Asked<Touched>;
type Asked<Part> = { readonly account: AccountNo; readonly touched: Part };

/** Sends all necessary queries at once, each for all accounts. Rows are looked up individually: see byKey. */
export async function readKnown(tx: Tx, asked: readonly AskedRows[]): Promise<Map<AccountNo, KnownRows>> {
  const [rooms, seen, state, members, receipts, accountData, presence, profiles, redacted, bodies] = await Promise.all([
    readRooms(tx, asked),
    readSeen(tx, asked),
    readState(tx, keysOf(asked, "state")),
    readMembers(tx, keysOf(asked, "members")),
    readReceipts(tx, keysOf(asked, "receipts")),
    readAccountData(tx, keysOf(asked, "accountData")),
    readPresence(tx, asked),
    readKnownProfiles(
      tx,
      asked.map(({ account, touched }) => ({ account, users: touched.profiles })),
    ),
    readRedacted(tx, asked),
    readBodies(
      tx,
      asked.map(({ account, touched }) => ({ account, bodies: touched.bodies })),
    ),
  ]);
  const of = {
    rooms: byAccount(rooms),
    seen: byAccount(seen),
    state: byAccount(state),
    members: byAccount(members),
    receipts: byAccount(receipts),
    accountData: byAccount(accountData),
    presence: byAccount(presence),
    profiles: byAccount(profiles),
    redacted: byAccount(redacted),
  };
  return new Map(
    asked.map(({ account }) => [
      account,
      {
        rooms: of.rooms.get(account) ?? [],
        seen: of.seen.get(account) ?? [],
        state: of.state.get(account) ?? [],
        members: of.members.get(account) ?? [],
        receipts: of.receipts.get(account) ?? [],
        accountData: of.accountData.get(account) ?? [],
        presence: of.presence.get(account) ?? [],
        profiles: of.profiles.get(account) ?? [],
        redacted: of.redacted.get(account) ?? [],
        bodies: bodies.get(account) ?? noBodies(),
      },
    ]),
  );
}

type OfAccount = { readonly account: AccountNo };

function byAccount<Row extends OfAccount>(rows: readonly Row[]): Map<AccountNo, Row[]> {
  return Map.groupBy(rows, (row) => row.account);
}

function keysOf<Part extends "state" | "members" | "receipts" | "accountData">(
  asked: readonly AskedRows[],
  part: Part,
): (OfAccount & Touched[Part][number])[] {
  return asked.flatMap(({ account, touched }) => touched[part].map((key) => ({ account, ...key })));
}

/** Pairs of an account and an id, as two arrays for unnest. */
function pairsOf<Part, Id extends string>(
  asked: readonly Asked<Part>[],
  pick: (touched: Part) => readonly Id[],
): { accounts: AccountNo[]; ids: Id[] } {
  const pairs = asked.flatMap(({ account, touched }) => pick(touched).map((id) => ({ account, id })));
  return { accounts: pairs.map((pair) => pair.account), ids: pairs.map((pair) => pair.id) };
}

async function readRooms(tx: Tx, asked: readonly AskedRows[]): Promise<(KnownRoom & OfAccount)[]> {
  const { accounts, ids } = pairsOf(asked, (touched) => touched.rooms);
  const everythingOf = asked.filter(({ touched }) => touched.everything).map(({ account }) => account);
  if (ids.length === 0 && everythingOf.length === 0) return [];
  const every =
    everythingOf.length === 0
      ? tx``
      : tx`union select account, room_id from room_facts where account = any(${everythingOf}::bigint[]) and to_ord = ${OPEN}::bigint`;
  const rows = await tx<KnownRoomRecord[]>`
    select t.account, t.room_id, coalesce(r.last_ord, 0) as last_ord, coalesce(r.last_ts, 0) as last_ts, coalesce(r.members, 'none') as members,
           coalesce(r.unsure_ord, 0) as unsure_ord, coalesce(r.pending_gap, false) as pending_gap, f.membership, f.facts, y.users as typing, i.kind, i.body,
           to_json(s)::text as standing
    from (select * from unnest(${accounts}::bigint[], ${ids}::text[]) as a(account, room_id) ${every}) t
    left join lateral (select * from rooms r where r.account = t.account and r.room_id = t.room_id ${byKey(tx)}) r on true
    left join lateral (
      select * from room_facts f where f.account = t.account and f.room_id = t.room_id and f.to_ord = ${OPEN}::bigint ${byKey(tx)}) f on true
    left join lateral (select * from typing y where y.account = t.account and y.room_id = t.room_id ${byKey(tx)}) y on true
    left join lateral (select * from invites i where i.account = t.account and i.room_id = t.room_id and not i.gone ${byKey(tx)}) i on true
    left join lateral (select * from standings s where s.account = t.account and s.room_id = t.room_id ${byKey(tx)}) s on true`;
  return rows.map(({ facts, kind, body, standing, ...room }) => ({
    ...room,
    standing: standing === null ? null : (JSON.parse(standing) as StandingWrite),
    facts: facts === null ? null : parseFacts(facts),
    pending: kind === null || body === null ? null : { kind, body },
  }));
}

async function readSeen(tx: Tx, asked: readonly AskedRows[]): Promise<(KnownRows["seen"][number] & OfAccount)[]> {
  const { accounts, ids } = pairsOf(asked, (touched) => touched.events);
  if (ids.length === 0) return [];
  return await tx<(KnownRows["seen"][number] & OfAccount)[]>`
    with a as (select * from unnest(${accounts}::bigint[], ${ids}::text[]) as a(account, event_id))
    select a.account, t.room_id, a.event_id, t.ord from a
    cross join lateral (select room_id, ord from timeline t where t.account = a.account and t.event_id = a.event_id ${byKey(tx)}) t
    union all
    select a.account, o.room_id, a.event_id, 0 from a
    cross join lateral (select room_id from older o where o.account = a.account and o.event_id = a.event_id ${byKey(tx)}) o`;
}

async function readState(tx: Tx, keys: readonly (StateKey & OfAccount)[]): Promise<(KnownState & OfAccount)[]> {
  if (keys.length === 0) return [];
  return await tx<(KnownState & OfAccount)[]>`
    select s.account, s.room_id, s.type, s.state_key, s.event_id
    from json_to_recordset(${JSON.stringify(keys)}::text::json) k (account bigint, room_id text, type text, state_key text)
    cross join lateral (
      select * from state s where s.account = k.account and s.room_id = k.room_id and s.type = k.type and s.state_key = k.state_key
        and s.to_ord = ${OPEN}::bigint ${byKey(tx)}) s`;
}

/** All present state of the rooms. */
export async function readFullState(tx: Tx, account: AccountNo, rooms: readonly RoomId[]): Promise<KnownState[]> {
  if (rooms.length === 0) return [];
  return await tx<KnownState[]>`
    select s.room_id, s.type, s.state_key, s.event_id from unnest(${[...rooms]}::text[]) r (room_id)
    cross join lateral (select * from state s where s.account = ${account} and s.room_id = r.room_id and s.to_ord = ${OPEN}::bigint ${byKey(tx)}) s`;
}

/** The present member events of users in rooms, as far as they are stored. */
export async function readMembers(tx: Tx, keys: readonly (MemberKey & OfAccount)[]): Promise<(KnownMember & OfAccount)[]> {
  if (keys.length === 0) return [];
  return await tx<(KnownMember & OfAccount)[]>`
    select m.account, m.room_id, m.user_id, m.event_id, m.membership, coalesce(${bodyOf(tx, tx`m.account`)}, '{}') as body
    from json_to_recordset(${JSON.stringify(keys)}::text::json) k (account bigint, room_id text, user_id text)
    cross join lateral (
      select * from members m where m.account = k.account and m.room_id = k.room_id and m.user_id = k.user_id and m.to_ord = ${OPEN}::bigint
      ${byKey(tx)}) m
    left join events e on e.event_id = m.event_id`;
}

async function readReceipts(tx: Tx, keys: readonly (ReceiptKey & OfAccount)[]): Promise<(KnownRows["receipts"][number] & OfAccount)[]> {
  if (keys.length === 0) return [];
  return await tx<(KnownRows["receipts"][number] & OfAccount)[]>`
    select r.account, r.room_id, r.user_id, r.kind, r.thread_id, r.event_id, r.data
    from json_to_recordset(${JSON.stringify(keys)}::text::json) k (account bigint, room_id text, user_id text, kind text, thread_id text)
    cross join lateral (
      select * from receipts r where r.account = k.account and r.room_id = k.room_id and r.user_id = k.user_id and r.kind = k.kind
        and r.thread_id = k.thread_id ${byKey(tx)}) r`;
}

export async function readAccountData(
  tx: Tx,
  keys: readonly (AccountDataKey & OfAccount)[],
): Promise<(KnownRows["accountData"][number] & OfAccount)[]> {
  if (keys.length === 0) return [];
  return await tx<(KnownRows["accountData"][number] & OfAccount)[]>`
    select a.account, a.room_id, a.type, a.body
    from json_to_recordset(${JSON.stringify(keys)}::text::json) k (account bigint, room_id text, type text)
    cross join lateral (
      select * from account_data a where a.account = k.account and a.room_id = k.room_id and a.type = k.type ${byKey(tx)}) a`;
}

async function readPresence(tx: Tx, asked: readonly AskedRows[]): Promise<(KnownRows["presence"][number] & OfAccount)[]> {
  const { accounts, ids } = pairsOf(asked, (touched) => touched.presence);
  if (ids.length === 0) return [];
  return await tx<(KnownRows["presence"][number] & OfAccount)[]>`
    select account, user_id, body from unnest(${accounts}::bigint[], ${ids}::text[]) as a(account, user_id) join presence using (account, user_id)`;
}

/** Of the events that are redacted, those that the account has. */
export async function readRedacted(tx: Tx, asked: readonly Asked<Pick<Touched, "redacted">>[]): Promise<(KnownEvent & OfAccount)[]> {
  const { accounts, ids } = pairsOf(asked, (touched) => touched.redacted);
  if (ids.length === 0) return [];
  return await tx<(KnownEvent & OfAccount)[]>`
    with a as (select * from unnest(${accounts}::bigint[], ${ids}::text[]) as a(account, event_id))
    select x.account, x.room_id, e.event_id, e.type, e.state_key, e.body, e.pruned, max(x.unsigned) as unsigned, bool_or(x.open) as open
    from (
      select account, event_id, room_id, unsigned, false as open from a join timeline using (account, event_id)
      union all select account, event_id, room_id, unsigned, to_ord = ${OPEN}::bigint from a join state using (account, event_id)
      union all select account, event_id, room_id, unsigned, to_ord = ${OPEN}::bigint from a join members using (account, event_id)
      union all select account, event_id, room_id, unsigned, false from a join older using (account, event_id)
      union all select account, event_id, room_id, unsigned, false from a join feed_events using (account, event_id)
      union all select account, event_id, room_id, unsigned, false from a join sticky_events using (account, event_id)
    ) x
    join events e on e.event_id = x.event_id
    group by x.account, x.room_id, e.event_id`;
}

/** How many of the known members of each room are joined and invited. */
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

/** The newest event of a room. `streamed`: see StoredEventPoint. `isRead`: the user has read up to it, by a receipt for all threads. */
export type NewestEvent = { readonly room_id: RoomId; readonly event_id: EventId; readonly streamed: boolean; readonly isRead: boolean };

/** The newest stored events of rooms, as far as there are any. */
export async function readNewestEvents(tx: Tx, account: AccountNo, rooms: readonly RoomId[], me: UserId): Promise<NewestEvent[]> {
  if (rooms.length === 0) return [];
  return await tx<NewestEvent[]>`
    select k.room_id, t.event_id, ${streamedAt(tx, account, tx`k.room_id`, tx`r.last_ord`)} as streamed, exists (
      select from receipts c where c.account = ${account} and c.room_id = k.room_id and c.user_id = ${me} and c.thread_id = ''
        and c.kind in ('m.read', 'm.read.private') and c.event_id = t.event_id) as "isRead"
    from unnest(${[...rooms]}::text[]) k (room_id)
    cross join lateral (select last_ord from rooms r where r.account = ${account} and r.room_id = k.room_id ${byKey(tx)}) r
    cross join lateral (
      select event_id from timeline t where t.account = ${account} and t.room_id = k.room_id and t.ord = r.last_ord ${byKey(tx)}) t`;
}

/** The first members of each room, joined before invited before gone, by user id, without `me`: stand-ins if the homeserver names no heroes. */
export async function readStandIns(tx: Tx, account: AccountNo, rooms: readonly RoomId[], me: UserId): Promise<KnownMember[]> {
  if (rooms.length === 0) return [];
  return await tx<KnownMember[]>`
    select m.room_id, m.user_id, m.event_id, m.membership, coalesce(${bodyOf(tx, account)}, '{}') as body
    from unnest(${[...rooms]}::text[]) r (room_id),
    lateral (
      select * from members m
      where m.account = ${account} and m.room_id = r.room_id and m.to_ord = ${OPEN}::bigint
        and m.membership in ('join', 'invite', 'leave', 'ban') and m.user_id <> ${me}
      order by m.membership in ('join', 'invite') desc, m.membership desc, m.user_id limit 10
    ) m
    left join events e on e.event_id = m.event_id`;
}
