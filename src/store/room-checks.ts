/** When an account's rooms are compared with the homeserver's, and which of them are doubted (T1). */

import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import { readInvites } from "./ephemeral.ts";
import { parseIgnored } from "./ignored.ts";
import { OPEN } from "./ingest/row-types.ts";
import { type AccountToken, accountTokenColumns, lastVerified } from "./tokens.ts";

/** An account's rooms are not compared again so soon, ms: what was found is still true. */
const FRESH_MS = 60_000;

/** Has the account's rooms compared within `ms`, unless they were a minute ago. `first`: before those of others that are due. */
export async function checkWithin(db: Db, account: AccountNo, { ms, first }: { readonly ms: number; readonly first: boolean }): Promise<void> {
  await db`
    update accounts set check_at = least(check_at, now() + random() * ${ms}::double precision * interval '1 millisecond'), check_first = check_first or ${first}
    where account = ${account} and (check_at > now() + ${ms}::double precision * interval '1 millisecond' or (${first} and not check_first))
      and (checked_at is null or checked_at < now() - ${FRESH_MS}::double precision * interval '1 millisecond')`;
}

/** An account and a token to ask with. */
export type Asker = AccountToken & { readonly account: AccountNo };
/** `ignored`: see parseIgnored. `comparable`: a sync without `since` may be asked for today. `first`: a client has just come. */
export type DueCheck = Asker & { readonly position: Position; readonly ignored: string; readonly comparable: boolean; readonly first: boolean };
/** `position`: of the account, before the homeserver's list was asked for. */
export type DoubtedRoom = Asker & { readonly roomId: RoomId; readonly position: Position };

/**
 * Up to `limit` of those accounts whose rooms are due to be compared: those of clients that have just come, then the longest due. Accounts whose polls fail, or that are in their first
 * sync, are left out.
 */
export async function dueChecks(db: Db, accounts: readonly AccountNo[], limit: number): Promise<DueCheck[]> {
  if (accounts.length === 0) return [];
  return await db<DueCheck[]>`
    select a.account, a.position, a.ignored, coalesce(a.compared_at < now() - interval '1 day', true) as comparable, a.check_first as first,
      ${accountTokenColumns(db)}
    from accounts a join leases l using (account) cross join lateral (${lastVerified(db)}) t
    where a.account = any(${[...accounts]}::bigint[]) and a.check_at <= now() and a.complete and a.since is not null
      and l.polled_at > now() - interval '2 minutes'
    order by a.check_first desc, a.check_at limit ${limit}`;
}

/** Of those accounts, up to `limit` rooms that have been doubted for `ms`. */
export async function dueDoubts(db: Db, accounts: readonly AccountNo[], ms: number, limit: number): Promise<DoubtedRoom[]> {
  if (accounts.length === 0) return [];
  return await db<DoubtedRoom[]>`
    select d.account, d.room_id as "roomId", d.position, ${accountTokenColumns(db)}
    from doubted_rooms d join accounts a using (account) join leases l using (account) cross join lateral (${lastVerified(db)}) t
    where d.account = any(${[...accounts]}::bigint[]) and d.asked_at <= now() - ${ms}::double precision * interval '1 millisecond'
      and l.polled_at > now() - interval '2 minutes'
    order by d.asked_at limit ${limit}`;
}

/** The rooms that the account is in, as stored. */
export async function joinedRooms(db: Db, account: AccountNo): Promise<RoomId[]> {
  const rows = await db<{ room_id: RoomId }[]>`
    select room_id from room_facts where account = ${account} and to_ord = ${OPEN}::bigint and membership = 'join'`;
  return rows.map((row) => row.room_id);
}

/** The account's pending invites, as stored, without those of ignored users, which the homeserver does not send. */
export async function pendingInvites(db: Db, { account, ignored, position }: Pick<DueCheck, "account" | "ignored" | "position">): Promise<RoomId[]> {
  const rows = await readInvites(db, account, parseIgnored(ignored), { from: 0, to: position });
  return rows.filter(({ kind, gone }) => kind === "invite" && !gone).map((row) => row.room_id);
}

/** The account's rooms were compared: those are doubted. The next comparison is in about a day. */
export async function finishCheck(db: Db, { account, position }: DueCheck, doubted: readonly RoomId[]): Promise<void> {
  await db`
    with checked as (
      update accounts set checked_at = now(), check_first = false, check_at = now() + (0.75 + random() / 2) * interval '1 day' where account = ${account} returning account)
    insert into doubted_rooms (account, room_id, position)
    select account, room_id, ${position}::bigint from checked, unnest(${[...doubted]}::text[]) as room_id
    on conflict (account, room_id) do nothing`;
}

/** A comparison failed: try again in `ms`. */
export async function postponeCheck(db: Db, account: AccountNo, ms: number): Promise<void> {
  await db`update accounts set check_at = now() + ${ms}::double precision * interval '1 millisecond' where account = ${account}`;
}

/** It is known how the room is. */
export async function endDoubt(db: Db, { account, roomId }: Pick<DoubtedRoom, "account" | "roomId">): Promise<void> {
  await db`delete from doubted_rooms where account = ${account} and room_id = ${roomId}`;
}

/** The second look failed: it is due again as if the room had been doubted just now. */
export async function doubtOn(db: Db, { account, roomId }: Pick<DoubtedRoom, "account" | "roomId">): Promise<void> {
  await db`update doubted_rooms set asked_at = now() where account = ${account} and room_id = ${roomId}`;
}

/** A sync without `since` was answered. */
export async function noteComparison(db: Db, account: AccountNo): Promise<void> {
  await db`update accounts set compared_at = now() where account = ${account}`;
}

/** How long a sync without `since` may take, ms; the client's own deadline is shorter. */
export const SYNC_SLOT_MS = 900_000;

/** Takes one of the installation's few places for a sync without `since`, for at most `ms`. Null: none is free. */
export async function takeSyncSlot(db: Db, ms: number): Promise<number | null> {
  const [row] = await db<{ slot: number }[]>`
    update sync_slots set expires_at = now() + ${ms}::double precision * interval '1 millisecond'
    where slot = (select slot from sync_slots where expires_at <= now() order by slot limit 1 for update skip locked) returning slot`;
  return row?.slot ?? null;
}

export async function freeSyncSlot(db: Db, slot: number): Promise<void> {
  await db`update sync_slots set expires_at = now() where slot = ${slot}`;
}
