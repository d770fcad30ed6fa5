/** What is known of a homeserver that was restored from a backup (T3): who is asked about, who was found, and who is to be synced from scratch. */

import type { AccountNo, DeviceNo, EventId, RoomId } from "../wire/ids.ts";
import { type Db, type Sql, type Tx, writeTx } from "./db.ts";
import { OPEN } from "./ingest/row-types.ts";
import { retentionColumn } from "./message-retention.ts";
import type { Asker } from "./room-checks.ts";
import { accountTokenColumns, lastVerified } from "./tokens.ts";

/** An event that the homeserver has shown to an account. */
export type ShownEvent = readonly [roomId: RoomId, eventId: EventId];

export type AccountDevice = { readonly account: AccountNo; readonly device: DeviceNo };

/** So many accounts that were found each by itself, within a day, are enough. */
const ENOUGH_FOUND = 3;
/** Accounts that are looked through for a sample: those whose clients were seen last. */
const MOST_CANDIDATES = 1000;

/**
 * For a query that has accounts as `a`: the account's newest events, newest first, that the homeserver shows unless it lost them: of rooms that the
 * user is in, of nobody who is ignored, and where messages expire only state events.
 */
function shownEvents(db: Db, most: number) {
  return db`
    select t.ord, t.room_id, t.event_id, e.ts from timeline t join events e using (event_id), (select ${retentionColumn(db)}) r
    where t.account = a.account
      and exists (select from room_facts f where f.account = a.account and f.room_id = t.room_id and f.to_ord = ${OPEN}::bigint and f.membership = 'join')
      and strpos(a.ignored, to_json(e.sender)::text) = 0
      and (e.state_key is not null or coalesce(r.retention, 'null') = 'null')
    order by t.ord desc limit ${most}`;
}

/** That account's newest such events, newest first. */
export async function newestShown(db: Db, account: AccountNo, most: number): Promise<ShownEvent[]> {
  const rows = await db<{ room_id: RoomId; event_id: EventId }[]>`
    select s.room_id, s.event_id from accounts a cross join lateral (${shownEvents(db, most)}) s where a.account = ${account} order by s.ord desc`;
  return rows.map(({ room_id, event_id }) => [room_id, event_id]);
}

/** `accounts`: most that are chosen. `needed`: events that an account must have. `events`: most that are remembered of each. */
export type SampleSize = { readonly accounts: number; readonly needed: number; readonly events: number };

/**
 * Chooses accounts to ask about, unless those that were chosen before have not all been asked: first those with the newest events. It takes 100 ms with
 * thousands of accounts.
 */
export async function chooseProbes(sql: Sql, { accounts, needed, events }: SampleSize): Promise<void> {
  await writeTx(sql, async (tx) => {
    await tx`delete from restore_probes where account in (select account from restore_probes where chosen_at < now() - interval '1 hour')`;
    await tx`
      insert into restore_probes (account, rank, events)
      select account, row_number() over (order by since desc), events from (
        select a.account, s.since, s.events
        from (
          select account, ignored from accounts
          where since is not null and not restored and exists (select from tokens t where t.account = accounts.account and t.dead_at is null)
          order by seen_at desc limit ${MOST_CANDIDATES}) a
        cross join lateral (
          select json_agg(json_build_array(room_id, event_id) order by ord desc)::text as events,
            min(ts) filter (where place <= ${needed}) as since, count(*) as count
          from (select *, row_number() over (order by ord desc) as place from (${shownEvents(tx, events)}) e) e) s
        where s.count >= ${needed} and not exists (select from restore_probes)
        order by s.since desc limit ${accounts}) chosen
      on conflict (account) do nothing`;
  });
}

export type Probe = Asker & { readonly rank: number; readonly events: readonly ShownEvent[] };

/** For a query: whether an account was found within a day. */
function anyFound(db: Db) {
  return db`exists (select from accounts where found_restored_at > now() - interval '1 day')`;
}

/**
 * The next account to ask about, of the first `first` of the sample, or of all if an account was found; no process gets it again within `ms`. Null: none
 * is due.
 */
export async function claimProbe(db: Db, { first, ms }: { readonly first: number; readonly ms: number }): Promise<Probe | null> {
  const [row] = await db<(Asker & { rank: number; events: string })[]>`
    with claimed as (
      update restore_probes set due_at = now() + ${ms}::double precision * interval '1 millisecond'
      where account = (
        select account from restore_probes where due_at <= now() and (rank <= ${first} or ${anyFound(db)}) order by rank limit 1 for update skip locked)
      returning account, rank, events)
    select c.account, c.rank, c.events, ${accountTokenColumns(db)}
    from claimed c join accounts a using (account) cross join lateral (${lastVerified(db)}) t`;
  return row ? { ...row, events: JSON.parse(row.events) as ShownEvent[] } : null;
}

/** Nothing more is to be asked about that account. */
export async function endProbe(db: Db, account: AccountNo): Promise<void> {
  await db`delete from restore_probes where account = ${account}`;
}

/** Of the rest of the sample nothing is to be asked, if its first `first` accounts were asked about and none was found. */
export async function endSample(db: Db, first: number): Promise<void> {
  await db`
    delete from restore_probes where account in (
      select account from restore_probes where not ${anyFound(db)} and not exists (select from restore_probes p where p.rank <= ${first}))`;
}

/** None of the account's events is known: it is to be synced from scratch, unless it was meanwhile. Whether it is. */
export function foundByProbe(sql: Sql, account: AccountNo): Promise<boolean> {
  return writeTx(sql, async (tx) => {
    const [locked] = await tx`select from accounts where account = ${account} and since is not null for no key update`;
    const { count } = await tx`delete from restore_probes where account = ${account}`;
    return locked !== undefined && count > 0 && found(tx, account, true);
  });
}

/**
 * A poll ended before its `since`: the account is to be synced from scratch, unless the device continues from elsewhere than `deviceSince` by now.
 * `counts`: its events are gone, too.
 */
export function foundByPoll(
  sql: Sql,
  { account, device }: AccountDevice,
  { deviceSince, counts }: { readonly deviceSince: string | null; readonly counts: boolean },
): Promise<boolean> {
  return writeTx(sql, async (tx) => {
    const [locked] = await tx`select from accounts where account = ${account} and since is not null for no key update`;
    const [current] = await tx`select from devices where device = ${device} and account = ${account} and since is not distinct from ${deviceSince}`;
    return locked !== undefined && current !== undefined && found(tx, account, counts);
  });
}

async function found(tx: Tx, account: AccountNo, counts: boolean): Promise<boolean> {
  if (counts) await tx`update accounts set found_restored_at = now() where account = ${account}`;
  await markRestored(tx, [account]);
  return true;
}

/** If enough accounts were found, all others are to be synced from scratch. How many those are. */
export function restoreAll(sql: Sql): Promise<number> {
  return writeTx(sql, async (tx) => {
    const [row] = await tx<{ count: number }[]>`select count(*)::integer as count from accounts where found_restored_at > now() - interval '1 day'`;
    if ((row?.count ?? 0) < ENOUGH_FOUND) return 0;
    const others = await tx<{ account: AccountNo }[]>`
      select account from accounts where since is not null and (found_restored_at is null or found_restored_at <= now() - interval '1 day')
      order by account for no key update`;
    await markRestored(
      tx,
      others.map(({ account }) => account),
    );
    await tx`update accounts set found_restored_at = null where found_restored_at is not null`;
    await tx`delete from restore_probes`;
    return others.length;
  });
}

/** What is stored is shown until the next answer is stored: see deleteRestored. */
async function markRestored(tx: Tx, accounts: readonly AccountNo[]): Promise<void> {
  await tx`update accounts set since = null, restored = true where account = any(${[...accounts]}::bigint[])`;
  await tx`update devices set since = null, restored = true where account = any(${[...accounts]}::bigint[])`;
  await tx`delete from restore_probes where account = any(${[...accounts]}::bigint[])`;
}

/** The devices of those accounts that have not been synced from scratch yet. */
export async function restoredDevices(db: Db, accounts: readonly AccountNo[]): Promise<AccountDevice[]> {
  if (accounts.length === 0) return [];
  return await db<
    AccountDevice[]
  >`select account, device from devices where restored and since is null and account = any(${[...accounts]}::bigint[])`;
}
