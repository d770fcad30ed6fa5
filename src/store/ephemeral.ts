/** What is stored only in its present form: typing, receipts, account data, presence, invites. Each row records when it last changed. */

import type { AccountNo, EventId, Position, RoomId, UserId } from "../wire/ids.ts";
import { keyCountsText, keyTypesText } from "../wire/key-counts.ts";
import { isRoomId, isUserId } from "../wire/matrix-id.ts";
import { byKey, type Db } from "./db.ts";
import type { StickyRow } from "./sticky-events.ts";

/** A half-open span of ordinals: after `from`, up to and including `to`. */
export type OrdinalSpan = { readonly from: number; readonly to: Position };

/** Typing sets of rooms that changed in the span. `users` is a JSON list. */
export async function readTyping(
  db: Db,
  account: AccountNo,
  roomIds: readonly RoomId[],
  span: OrdinalSpan,
): Promise<{ room_id: RoomId; users: string }[]> {
  if (roomIds.length === 0) return [];
  const rows = await db<{ room_id: RoomId; users: string }[]>`
    select room_id, users from typing
    where account = ${account} and room_id = any(${[...roomIds]}::text[]) and ord > ${span.from} and ord <= ${span.to}
    order by room_id`;
  return rows.map((row) => ({ ...row, users: soundUsers(row.users) }));
}

/** A typing set in the form that strict clients accept, whichever version stored it (N6). */
function soundUsers(users: string): string {
  return users === "[]" ? users : JSON.stringify((JSON.parse(users) as string[]).filter(isUserId));
}

export type ReceiptRow = {
  readonly room_id: RoomId;
  readonly user_id: UserId;
  readonly kind: string;
  readonly event_id: string;
  /** JSON: the receipt as it is sent under the user id. */
  readonly data: string;
};

/** Receipts that changed in the span, without other users' private ones; by room, event, kind, user. */
export async function readReceipts(db: Db, account: AccountNo, me: UserId, roomIds: readonly RoomId[], span: OrdinalSpan): Promise<ReceiptRow[]> {
  if (roomIds.length === 0) return [];
  return db<ReceiptRow[]>`
    select room_id, user_id, kind, event_id, data from receipts
    where account = ${account} and room_id = any(${[...roomIds]}::text[]) and ord > ${span.from} and ord <= ${span.to}
      and (kind <> 'm.read.private' or user_id = ${me})
    order by room_id, event_id, kind, user_id, ord`;
}

/** Global account data that changed in the span: the events as received. */
export async function readGlobalAccountData(db: Db, account: AccountNo, span: OrdinalSpan): Promise<string[]> {
  const rows = await db<{ body: string }[]>`
    select body from account_data where account = ${account} and room_id = '' and ord > ${span.from} and ord <= ${span.to} order by type`;
  return rows.map((row) => row.body);
}

/** Account data of rooms ("*": every room) that changed in the span. */
export async function readRoomAccountData(
  db: Db,
  account: AccountNo,
  roomIds: readonly RoomId[] | "*",
  span: OrdinalSpan,
): Promise<{ room_id: RoomId; body: string }[]> {
  if (roomIds.length === 0) return [];
  const rows = await db<{ room_id: RoomId; body: string }[]>`
    select room_id, body from account_data
    where account = ${account} and room_id <> '' and ord > ${span.from} and ord <= ${span.to}
      and ${roomIds === "*" ? db`true` : db`room_id = any(${[...roomIds]}::text[])`}
    order by room_id, type`;
  return rows.filter((row) => isRoomId(row.room_id));
}

/** Presence events that changed in the span, as received. */
export async function readPresence(db: Db, account: AccountNo, span: OrdinalSpan): Promise<string[]> {
  const rows = await db<{ body: string }[]>`
    select body from presence where account = ${account} and ord > ${span.from} and ord <= ${span.to} order by ord`;
  return rows.map((row) => row.body);
}

export type InviteRow = { readonly room_id: RoomId; readonly kind: "invite" | "knock"; readonly body: string; readonly gone: boolean };

/**
 * Invites and knocks that came or went in the span, without those by ignored users (D25). Those that came before, and whose sender is ignored
 * since, have gone.
 */
export async function readInvites(db: Db, account: AccountNo, ignored: readonly UserId[], span: OrdinalSpan): Promise<InviteRow[]> {
  const users = [...ignored];
  const rows = await db<InviteRow[]>`
    select room_id, kind, body, gone or coalesce(inviter = any(${users}::text[]), false) as gone from invites
    where account = ${account} and (
      (ord > ${span.from} and ord <= ${span.to} and (gone or inviter is null or inviter <> all(${users}::text[])))
      or (ord <= ${span.from} and not gone and inviter = any(${users}::text[]) and exists (
        select from account_data where account = ${account} and room_id = '' and type = 'm.ignored_user_list'
          and ord > ${span.from} and ord <= ${span.to})))
    order by ord`;
  return rows.filter((row) => isRoomId(row.room_id));
}

/** The stripped state of pending invites and knocks, as received: an object with `events`. */
export async function readStripped(db: Db, account: AccountNo, roomIds: readonly RoomId[]): Promise<Map<RoomId, string>> {
  if (roomIds.length === 0) return new Map();
  const rows = await db<{ room_id: RoomId; body: string }[]>`
    select room_id, body from invites where account = ${account} and room_id = any(${[...roomIds]}::text[]) and not gone`;
  return new Map(rows.map((row) => [row.room_id, row.body]));
}

/** A room, and the ordinal after which to read it. */
export type RoomSpan = { readonly roomId: RoomId; readonly from: number };

/** `room_id`: "" of global data. `body`: the event as received. */
export type DataRow = { readonly room_id: RoomId | ""; readonly type: string; readonly body: string; readonly ord: number };

/** `users`: a JSON list. */
export type TypingRow = { readonly room_id: RoomId; readonly users: string; readonly ord: number };

/**
 * What changed in an account, apart from what standings record. `receipts`: the rooms, and when the last receipt changed there. `sticky`: all
 * sticky events, in order. `profilesOrd`: when a profile last changed; 0: none is stored.
 */
export type PartChanges = {
  readonly data: readonly DataRow[];
  readonly typing: readonly TypingRow[];
  readonly receipts: readonly { readonly room_id: RoomId; readonly ord: number }[];
  /** When the presence of any user, and any thread subscription, last changed; 0: not in this span. */
  readonly presenceOrd: number;
  readonly threadsOrd: number;
  readonly sticky: readonly StickyRow[];
  readonly profilesOrd: number;
};

/** What changed after `after`, for receipts after `receiptsAfter`. One statement, because there are few rows and each statement has a cost. */
export async function readPartChanges(db: Db, account: AccountNo, after: number, receiptsAfter: number): Promise<PartChanges> {
  const rows = await db<
    {
      part: "data" | "typing" | "receipts" | "presence" | "threads" | "sticky" | "profiles";
      room_id: RoomId | "";
      type: string;
      body: string;
      ord: number;
    }[]
  >`
    select 'data' as part, room_id, type, body, ord from account_data where account = ${account} and ord > ${after}
    union all select 'typing', room_id, '', users, ord from typing where account = ${account} and ord > ${after}
    union all select 'receipts', room_id, '', '', max(ord) from receipts where account = ${account} and ord > ${receiptsAfter} group by room_id
    union all select 'presence', '', '', '', coalesce(max(ord), 0) from presence where account = ${account} and ord > ${after}
    union all select 'threads', '', '', '', coalesce(max(ord), 0) from thread_subscriptions where account = ${account} and ord > ${after}
    union all (select 'sticky', room_id, event_id, sticky_until::text, ord from sticky_events where account = ${account} order by ord)
    union all (select 'profiles', '', '', '', ord from profiles where account = ${account} order by ord desc limit 1)`;
  const of = (part: string) => rows.filter((row) => row.part === part);
  return {
    data: of("data").map(({ room_id, type, body, ord }) => ({ room_id, type, body, ord })),
    typing: of("typing").map(({ room_id, body, ord }) => ({ room_id: room_id as RoomId, users: soundUsers(body), ord })),
    receipts: of("receipts").map(({ room_id, ord }) => ({ room_id: room_id as RoomId, ord })),
    presenceOrd: of("presence")[0]?.ord ?? 0,
    threadsOrd: of("threads")[0]?.ord ?? 0,
    profilesOrd: of("profiles")[0]?.ord ?? 0,
    sticky: of("sticky").map(({ room_id, type, body, ord }) => {
      return { ord, room_id: room_id as RoomId, event_id: type as EventId, sticky_until: Number(body) };
    }),
  };
}

/** As readReceipts. */
export async function readReceiptsOf(db: Db, account: AccountNo, me: UserId, spans: readonly RoomSpan[], to: Position): Promise<ReceiptRow[]> {
  if (spans.length === 0) return [];
  return db<ReceiptRow[]>`
    select r.room_id, r.user_id, r.kind, r.event_id, r.data
    from unnest(${spans.map((s) => s.roomId)}::text[], ${spans.map((s) => s.from)}::bigint[]) as s(room_id, after)
    cross join lateral (
      select * from receipts r where r.account = ${account} and r.room_id = s.room_id and r.ord > s.after and r.ord <= ${to}
        and (r.kind <> 'm.read.private' or r.user_id = ${me}) ${byKey(db)}) r
    order by r.room_id, r.event_id, r.kind, r.user_id, r.ord`;
}

/** The receipts of rooms at certain events, and all of the user's own. */
export async function readReceiptsOn(
  db: Db,
  account: AccountNo,
  me: UserId,
  roomIds: readonly RoomId[],
  eventIds: readonly string[],
): Promise<ReceiptRow[]> {
  if (roomIds.length === 0) return [];
  return db<ReceiptRow[]>`
    select r.room_id, r.user_id, r.kind, r.event_id, r.data
    from unnest(${[...roomIds]}::text[]) as a(room_id)
    cross join lateral (
      select * from receipts r where r.account = ${account} and r.room_id = a.room_id
        and (r.user_id = ${me} or (r.kind <> 'm.read.private' and r.event_id = any(${[...eventIds]}::text[]))) ${byKey(db)}) r
    order by r.room_id, r.event_id, r.kind, r.user_id, r.ord`;
}

/** Device-list changes of a device in (from, to] of its seq. */
export async function readDeviceLists(db: Db, device: number, from: number, to: number): Promise<{ changed: UserId[]; left: UserId[] }> {
  const rows = await db<{ user_id: UserId; kind: "changed" | "left" }[]>`
    select user_id, kind from device_lists where device = ${device} and seq > ${from} and seq <= ${to} order by user_id collate "C"`;
  // Older versions also stored invalid user ids (N6).
  const having = (kind: string) => rows.filter((row) => row.kind === kind && isUserId(row.user_id)).map((row) => row.user_id);
  return { changed: having("changed"), left: having("left") };
}

/**
 * A device's key counts as JSON texts (see soundKeyCounts), and the seq at which they last changed. Null: neither a poll nor an upload of
 * keys has reported any yet. Sending "none" instead would make clients upload keys that exist already.
 */
export async function readKeyCounts(
  db: Db,
  device: number,
): Promise<{ one_time_keys: string; fallback_keys: string | null; counts_seq: number } | null> {
  const [row] = await db<{ one_time_keys: string; fallback_keys: string | null; counts_seq: number }[]>`
    select one_time_keys, fallback_keys, counts_seq from devices where device = ${device} and (since is not null or key_uploads > 0)`;
  return row ? { ...soundKeyCounts(row), counts_seq: row.counts_seq } : null;
}

/** Key counts as JSON texts that strict clients accept, whichever version stored them (N6). `fallback_keys` null: not reported. */
export function soundKeyCounts(row: { readonly one_time_keys: string; readonly fallback_keys: string | null }) {
  return { one_time_keys: keyCountsText(row.one_time_keys), fallback_keys: row.fallback_keys === null ? null : keyTypesText(row.fallback_keys) };
}
