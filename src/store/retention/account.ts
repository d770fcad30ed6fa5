/**
 * Deletes from an account's log what no client can ask for any more: what is below its horizon, except for what a snapshot at the horizon
 * still shows. Every step holds the account's lock, as ingest does, so it sees no half of a batch and meets no other writer.
 */

import type { AccountNo, EventId, RoomId } from "../../wire/ids.ts";
import type { Db, Tx } from "../db.ts";
import { OPEN } from "../ingest/row-types.ts";
import { deleteUnreferenced } from "./events.ts";
import { BATCH_ROWS } from "./step.ts";

/** Timeline events of a room that every snapshot must be able to show: S4's largest timeline_limit. */
const SHOWN = 100;
/** How much further down a room's timeline is kept if it then begins at a known upstream token: more than one response holds. */
const TOKEN_REACH = 100;

/** What is to be swept: rows up to `horizon`; those up to `swept` have been. */
export type SweptAccount = { readonly account: AccountNo; readonly horizon: number; readonly swept: number };

/** How many `rows` of the log and bodies of `events` were deleted. `more`: there is more to delete than one batch. */
export type Deleted = { readonly rows: number; readonly events: number; readonly more: boolean };

/** The account, locked; null: there is nothing to sweep, or it is gone. */
export async function lockForSweep(tx: Tx, account: AccountNo): Promise<SweptAccount | null> {
  const [row] = await tx<SweptAccount[]>`select account, horizon, swept from accounts where account = ${account} for no key update`;
  return row && row.swept < row.horizon ? row : null;
}

/** Up to `limit` accounts, after a number, that have something to be swept. */
export async function accountsToSweep(db: Db, after: number, limit: number): Promise<AccountNo[]> {
  const rows = await db<{ account: AccountNo }[]>`
    select account from accounts where swept < horizon and account > ${after} order by account limit ${limit}`;
  return rows.map((row) => row.account);
}

/** Records that everything up to the horizon that can be deleted is deleted. */
export async function markSwept(tx: Tx, swept: SweptAccount): Promise<void> {
  await tx`update accounts set swept = greatest(swept, ${swept.horizon}) where account = ${swept.account}`;
}

/** Where a room's timeline begins now. */
export type RoomCut = { readonly room_id: RoomId; readonly ord: number };

/** `deleted`: rows of fetched history. */
export type CutTimelines = { readonly cuts: readonly RoomCut[]; readonly deleted: Deleted };

/**
 * Moves the beginning of timelines that have grown: to the newest row that has SHOWN rows up to the horizon from it on and, if there is one
 * near, an upstream token before it, so that history can still be fetched from there. That row is then marked as following a gap, because
 * older events exist that are not sent. Fetched history no longer joins up with it and is deleted. The rows below are deleted by
 * deleteTimeline.
 */
export async function cutTimelines(tx: Tx, { account, horizon, swept }: SweptAccount): Promise<CutTimelines> {
  const cuts = await tx<RoomCut[]>`
    select t.room_id, c.ord
    from (select distinct room_id from timeline where account = ${account} and ord > ${swept} and ord <= ${horizon}) t
    cross join lateral (
      select ord from (
        select ord, prev_batch, row_number() over (order by ord desc) as rank
        from timeline x where x.account = ${account} and x.room_id = t.room_id and x.ord <= ${horizon}
        order by ord desc limit ${SHOWN + TOKEN_REACH}
      ) newest
      where rank >= ${SHOWN}
      order by prev_batch is null, rank limit 1
    ) c
    where exists (select from timeline o where o.account = ${account} and o.room_id = t.room_id and o.ord < c.ord)`;
  if (cuts.length === 0) return { cuts, deleted: { rows: 0, events: 0, more: false } };
  const rooms = cuts.map((cut) => cut.room_id);
  const ords = cuts.map((cut) => cut.ord);
  await tx`update timeline set gap = true where account = ${account} and ord = any(${ords}::bigint[]) and not gap`;
  const older = await tx<{ event_id: EventId }[]>`
    delete from older where account = ${account} and room_id = any(${rooms}::text[]) returning event_id`;
  const chunks = await tx<{ state: string }[]>`
    delete from older_chunks where account = ${account} and room_id = any(${rooms}::text[]) returning state`;
  const ids = [...older.map((row) => row.event_id), ...chunks.flatMap((row) => JSON.parse(row.state) as EventId[])];
  return { cuts, deleted: { rows: older.length + chunks.length, events: await deleteUnreferenced(tx, ids), more: false } };
}

/** A batch of the timeline rows below the cuts. */
export async function deleteTimeline(tx: Tx, { account }: SweptAccount, cuts: readonly RoomCut[]): Promise<Deleted> {
  if (cuts.length === 0) return { rows: 0, events: 0, more: false };
  const rows = await tx<{ event_id: EventId }[]>`
    delete from timeline t using (
      select t.ord
      from unnest(${cuts.map((cut) => cut.room_id)}::text[], ${cuts.map((cut) => cut.ord)}::bigint[]) c (room_id, ord)
      join timeline t on t.account = ${account} and t.room_id = c.room_id and t.ord < c.ord
      limit ${BATCH_ROWS}
    ) old
    where t.account = ${account} and t.ord = old.ord
    returning t.event_id`;
  return withBodies(tx, rows);
}

/**
 * A batch of the closed state and member rows that no snapshot contains: neither one at or above the horizon, nor one before a timeline
 * event of the room, since the state there is sent with the events (S4). Call it once the timelines are cut.
 */
export async function deleteState(tx: Tx, { account, horizon }: SweptAccount, table: "state" | "members"): Promise<Deleted> {
  const rows = await tx<{ event_id: EventId }[]>`
    delete from ${tx(table)} s where ctid = any(array(
      select s.ctid from ${tx(table)} s
      where s.account = ${account} and s.to_ord <= ${horizon} and s.to_ord < ${tx.unsafe(OPEN)} and s.to_ord < coalesce((
        select min(t.ord) from timeline t where t.account = ${account} and t.room_id = s.room_id), ${horizon}::bigint + 1)
      limit ${BATCH_ROWS}))
    returning s.event_id`;
  return withBodies(tx, rows);
}

/** A batch of the closed room facts below the horizon. */
export async function deleteFacts(tx: Tx, { account, horizon }: SweptAccount): Promise<Deleted> {
  const rows = await tx`
    delete from room_facts where ctid = any(array(
      select ctid from room_facts
      where account = ${account} and to_ord <= ${horizon} and to_ord < ${tx.unsafe(OPEN)} limit ${BATCH_ROWS}))`;
  return { rows: rows.count, events: 0, more: rows.count === BATCH_ROWS };
}

/** Invites and knocks whose end every token has been sent. */
export async function deleteInvites(tx: Tx, { account, horizon }: SweptAccount): Promise<Deleted> {
  const rows = await tx`delete from invites where account = ${account} and gone and ord <= ${horizon}`;
  return { rows: rows.count, events: 0, more: false };
}

/** Most fields of profiles that are stored of an account; those that changed last stay. */
const PROFILE_ROWS = 50_000;

/** A batch of the fields of profiles beyond them. */
export async function deleteProfiles(tx: Tx, { account }: SweptAccount): Promise<Deleted> {
  const rows = await tx`
    delete from profiles where account = ${account} and ord in (
      select ord from profiles where account = ${account} and ord <= (
        select ord from profiles where account = ${account} order by ord desc offset ${PROFILE_ROWS} limit 1)
      limit ${BATCH_ROWS})`;
  return { rows: rows.count, events: 0, more: rows.count === BATCH_ROWS };
}

async function withBodies(tx: Tx, rows: readonly { readonly event_id: EventId }[]): Promise<Deleted> {
  const ids = rows.map((row) => row.event_id);
  return { rows: rows.length, events: await deleteUnreferenced(tx, ids), more: rows.length === BATCH_ROWS };
}
