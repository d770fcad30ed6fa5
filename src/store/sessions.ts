/** Sessions (R7-R12, D20): where a session is, what its tokens stand for, and what its pages sent. */

import { createHash } from "node:crypto";
import type { AccountNo, DeviceNo, Position, RoomId, SessionNo } from "../wire/ids.ts";
import { type AccountHead, accountHeadColumns, accountHeadOf, type StoredAccountHead } from "./account-head.ts";
import { beginFeed } from "./feed-events.ts";
import { commitWith, type Db, type Sql, type Tx, untilThrough, writeTx } from "./db.ts";
import { purgeToDevice } from "./to-device.ts";

/** 'alone': un-ignoring somebody changes nothing that the session asks for (D25). */
export type FeedUse = "alone" | "beside";

export type NewSession = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly takesPart: boolean;
  readonly presence: boolean;
  /** null: it has no feed. */
  readonly feed: FeedUse | null;
};

/**
 * A new v3 session. If it takes part, it holds its device's to-device messages from the start (B5). At most `most` sessions a device: above
 * that the longest idle ones are ended (D20). It is on the disk with the next commit that waits for the disk, which happens before a client
 * learns of it: see saveSessionState. `ended`: how many sessions were ended for it. Null: the device is gone, e.g. it has logged out since
 * the request was authenticated.
 */
export async function createSession(
  sql: Sql,
  session: NewSession,
  most: number,
): Promise<{ readonly session: SessionNo; readonly ended: number } | null> {
  return writeTx(sql, async (tx) => {
    // One at a time per device, so that concurrent ones do not exceed the bound together. These statements go out together.
    const [, , locked, removed] = await Promise.all([
      tx`set local synchronous_commit = off`,
      // The account before the device, like every transaction that deletes either: no two wait for each other.
      session.feed
        ? beginFeed(tx, session.account)
        : tx`select from accounts where account = ${session.account} ${session.presence ? tx`for no key update` : tx`for key share`}`,
      tx`select from devices where device = ${session.device} for no key update`,
      tx`
        delete from sessions where session in (
          select session from sessions where device = ${session.device} and kind = 'v3' order by used_at desc, session desc offset ${most - 1})`,
    ]);
    if (locked.count === 0) return null;
    // Before the new session exists, because it has received nothing.
    if (removed.count > 0) await purgeToDevice(tx, session.device);
    if (session.presence) await forgetOldPresence(tx, session.account);
    const [row] = await tx<{ session: SessionNo }[]>`
      insert into sessions (account, device, kind, takes_part, presence, feed)
      values (${session.account}, ${session.device}, 'v3', ${session.takesPart}, ${session.presence}, ${session.feed}) returning session`;
    if (!row) throw new Error("no row was returned");
    return { session: row.session, ended: removed.count };
  });
}

/**
 * Presence is polled only while a session wants it. What is stored when the first session asks for it is out of date, and would be sent as
 * current: delete it.
 */
async function forgetOldPresence(tx: Tx, account: AccountNo): Promise<void> {
  await tx`
    with gone as (
      delete from presence where account = ${account} and not exists (select from sessions s where s.account = ${account} and s.presence)
      returning account)
    update accounts set presence_since = null where account in (select account from gone)`;
}

export type TokenPosition = { readonly session: SessionNo; readonly state: number; readonly position: Position };

/**
 * - found: the remembered state of a token, as JSON text.
 * - unknown: the session, its state or its snapshot is gone: never known or idle for too long, another device's, behind the account's
 *   horizon (D3, D10, R10).
 * - ahead: the token stands for more than is stored: our database was restored (D26).
 */
export type FoundState = { readonly kind: "found"; readonly body: string } | { readonly kind: "unknown" | "ahead" };

/** Looks up what a token of this device stands for; a session that was not used for `idleMs` is gone. */
export async function findSessionState(
  db: Db,
  device: DeviceNo,
  token: TokenPosition & { readonly toDevice: number; readonly e2ee: number; readonly feed: Position },
  idleMs: number,
): Promise<FoundState> {
  const [row] = await db<{ body: string | null; ahead: boolean }[]>`
    select st.body, a.position < ${token.position} or d.seq < ${Math.max(token.toDevice, token.e2ee)} as ahead
    from sessions s
    join accounts a using (account)
    join devices d on d.device = s.device
    left join session_states st on st.session = s.session and st.state = ${token.state}
    where s.session = ${token.session} and s.device = ${device} and s.kind = 'v3'
      and s.used_at > now() - make_interval(secs => ${idleMs / 1000}) and a.horizon <= ${Math.min(token.position, token.feed)}`;
  if (!row) return { kind: "unknown" };
  if (row.ahead) return { kind: "ahead" };
  if (row.body === null && token.state !== 0) return { kind: "unknown" };
  return { kind: "found", body: row.body ?? "" };
}

/**
 * Ends all sessions and connections of an account, because none of them can be sent what happened (D26). What devices have acknowledged of
 * their queues, as v2 clients or by their connections, is independent of these tokens and stays.
 */
export async function endSessions(db: Db, account: AccountNo): Promise<void> {
  await db`delete from sessions where account = ${account} and kind in ('v3', 'connection')`;
}

/** The same when somebody is no longer ignored: a session with nothing but a feed goes on, which brings nothing back (S6). */
export async function endSessionsButFeeds(db: Db, account: AccountNo): Promise<void> {
  await db`delete from sessions where account = ${account} and kind in ('v3', 'connection') and feed is distinct from 'alone'`;
}

/** Whether a session or connection is still there. */
export async function sessionExists(db: Db, session: SessionNo): Promise<boolean> {
  return (await db`select from sessions where session = ${session}`).length > 0;
}

/** How far the numbers of to-device messages jump, so that no number is used twice. */
const JUMP = 2 ** 32;

/**
 * The same for all accounts. After a restore of the database clients hold later queue positions than those stored here; these must not match
 * future messages, so numbering continues far above them. Returns how many sessions ended.
 */
export async function endAllSessions(tx: Tx): Promise<number> {
  const ended = await tx`delete from sessions where kind in ('v3', 'connection')`;
  await tx`update devices set seq = seq + ${JUMP}`;
  return ended.count;
}

export type SessionUse = TokenPosition & {
  readonly account: AccountNo;
  /** The acknowledged to-device seq; null: this request acknowledges nothing. */
  readonly acked: number | null;
  /** null: unchanged. */
  readonly takesPart: boolean | null;
  readonly presence: boolean;
  readonly feed: FeedUse | null;
};

/** Records that a token was used. True if that may allow to-device messages to be purged (S2). */
export async function useSession(sql: Sql, use: SessionUse): Promise<boolean> {
  const [row] = await untilThrough(
    () => sql<{ freed: boolean }[]>`
    with before as (select acked, takes_part, state from sessions where session = ${use.session} for no key update),
    used as (
      update sessions set used_at = now(), position = ${use.position}, state = ${use.state}, presence = ${use.presence}, feed = ${use.feed},
        acked = greatest(acked, ${use.acked ?? 0}::bigint), takes_part = coalesce(${use.takesPart}::boolean, takes_part)
      where session = ${use.session}
      returning acked, takes_part),
    -- As in forgetOldPresence.
    absent as (
      delete from presence where ${use.presence}::boolean and account = ${use.account}
        and not exists (select from sessions s where s.account = ${use.account} and s.presence)
      returning account),
    incomplete as (update accounts set presence_since = null where account in (select account from absent)),
    -- The one that was used before, too: its tokens work for a while yet (D10).
    used_states as (
      update session_states set used_at = now() where session = ${use.session} and state in (select state from before union select ${use.state}::integer))
    select used.acked > before.acked or (before.takes_part and not used.takes_part) as freed from before, used`,
  );
  return row?.freed ?? false;
}

/** Records that a page was requested with a token: its session is in use (D20), and so is the state that the token stands for. */
export async function touchSession(sql: Sql, session: SessionNo, state: number): Promise<void> {
  // Lock the session first, as useSession does: a part of the statement that nothing reads from would run last.
  await untilThrough(
    () => sql`
    with touched as (update sessions set used_at = now() where session = ${session} returning session)
    update session_states st set used_at = now() from touched where st.session = touched.session and st.state = ${state}`,
  );
}

/** The ordered rooms of a list at a moment, which its pages walk through. */
export type ListSnapshot = { readonly number: number; readonly hash: Buffer; readonly rooms: readonly RoomId[] };

/**
 * Stores a state of a session, with the snapshot of its list if there is a new one, and returns the state's number; the same content has the
 * same number. Null: the session is gone.
 */
export async function saveSessionState(sql: Sql, session: SessionNo, body: string, snapshot: ListSnapshot | undefined): Promise<number | null> {
  const hash = createHash("sha256").update(body).digest();
  return writeTx(sql, async (tx) => {
    const saved = tx`
      insert into session_states (session, state, hash, body)
      select s.session, coalesce((select max(state) from session_states where session = s.session), 0) + 1, ${hash}, ${body}
      from sessions s where s.session = ${session}
      on conflict (session, hash) do update set used_at = now()
      returning state`;
    await commitWith(tx, [
      // One at a time, so that no two get the same number.
      tx`select from sessions where session = ${session} for no key update`,
      saved,
      ...(snapshot ? [saveListSnapshot(tx, session, snapshot)] : []),
    ]);
    const [row] = await saved;
    return (row?.["state"] as number | undefined) ?? null;
  });
}

/** Records the rooms that a page answer sent, in their form at a position (D14). False: the session is gone. */
export async function addSessionPage(sql: Sql, session: SessionNo, position: Position, rooms: readonly RoomId[]): Promise<boolean> {
  return writeTx(sql, async (tx) => {
    const locked = await tx`select from sessions where session = ${session} for no key update`;
    if (locked.count === 0) return false;
    const body = JSON.stringify(rooms);
    await tx`
      insert into session_pages (session, page, position, rooms)
      select ${session}, coalesce(max(page), 0) + 1, ${position}, ${body} from session_pages where session = ${session}
      having not coalesce(bool_or(position = ${position} and rooms = ${body}), false)`;
    return true;
  });
}

/** Page answers of a session after `page` whose snapshot is not newer than `position`, oldest first. */
export async function readSessionPages(
  db: Db,
  session: SessionNo,
  page: number,
  position: Position,
): Promise<{ page: number; position: Position; rooms: RoomId[] }[]> {
  const rows = await db<{ page: number; position: Position; rooms: string }[]>`
    select page, position, rooms from session_pages where session = ${session} and page > ${page} and position <= ${position} order by page`;
  return rows.map((row) => ({ ...row, rooms: JSON.parse(row.rooms) as RoomId[] }));
}

/** The statement that stores a snapshot; if the session is gone it stores nothing. */
export function saveListSnapshot(db: Db, session: SessionNo, snapshot: ListSnapshot) {
  return db`
    insert into list_snapshots (session, snapshot, hash, rooms)
    select s.session, ${snapshot.number}, ${snapshot.hash}, ${JSON.stringify(snapshot.rooms)} from sessions s where s.session = ${session} for key share
    on conflict (session, snapshot) do update set created_at = now()`;
}

/** The ordered rooms of a stored snapshot; null: it is gone. */
export async function findListSnapshot(db: Db, session: SessionNo, snapshot: number): Promise<RoomId[] | null> {
  const [row] = await db<{ rooms: string }[]>`select rooms from list_snapshots where session = ${session} and snapshot = ${snapshot}`;
  return row ? (JSON.parse(row.rooms) as RoomId[]) : null;
}

/** What the evaluation of a session's request starts from. */
export type SessionHead = AccountHead & {
  /** Below it nothing can be sent any more (D10). */
  readonly horizon: Position;
};

/** Null: the session is gone. */
export async function readHead(tx: Tx, session: SessionNo): Promise<SessionHead | null> {
  const [row] = await tx<(StoredAccountHead & { horizon: Position })[]>`
    select ${accountHeadColumns(tx)}, a.horizon
    from sessions s join accounts a using (account) join devices d using (device)
    where s.session = ${session}`;
  return row ? { ...accountHeadOf(row), horizon: row.horizon } : null;
}
