/** Sessions that are no longer used, and what live ones no longer need (D20, D10, D15). */

import type { AccountNo, DeviceNo, SessionNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { purgeToDevice } from "../to-device.ts";
import { BATCH_ROWS, before } from "./step.ts";

/** Sessions that end in one step. */
export const SESSION_BATCH = 200;

/** `purged`: to-device messages that only those sessions held back. `accounts`: the owners of the sessions. */
export type EndedSessions = { readonly ended: number; readonly purged: number; readonly accounts: readonly AccountNo[] };

/** How long what is not used lasts, ms: sessions, also those of v2 clients (D20); and connections, with the device's reader that stands for them. */
export type IdleTimes = { readonly sessionIdleMs: number; readonly connectionIdleMs?: number };

/** The default of connectionIdleMs. */
export const CONNECTION_IDLE_MS = 30 * 86_400_000;

/** Ends up to SESSION_BATCH sessions and connections that were idle for too long, and purges what only they held back (S2). */
export async function endIdleSessions(tx: Tx, at: Date, { sessionIdleMs, connectionIdleMs = CONNECTION_IDLE_MS }: IdleTimes): Promise<EndedSessions> {
  const isIdle = tx`used_at <= case when kind in ('connection', 'sliding') then ${before(at, connectionIdleMs)}::timestamptz
    else ${before(at, sessionIdleMs)}::timestamptz end`;
  const rows = await tx<{ session: SessionNo; device: DeviceNo; account: AccountNo }[]>`
    select session, device, account from sessions where ${isIdle} order by used_at limit ${SESSION_BATCH}`;
  if (rows.length === 0) return { ended: 0, purged: 0, accounts: [] };
  const devices = [...new Set(rows.map((row) => row.device))].sort((a, b) => a - b);
  // Lock like every transaction that changes a device's queue, so that no two wait for each other.
  await tx`select from devices where device = any(${devices}::bigint[]) order by device for no key update`;
  // What they acknowledged counts until they are gone, so purge before and after they end.
  let purged = await purgeAll(tx, devices);
  const ended = await tx`delete from sessions where session = any(${rows.map((row) => row.session)}::bigint[]) and ${isIdle}`;
  purged += await purgeAll(tx, devices);
  return { ended: ended.count, purged, accounts: [...new Set(rows.map((row) => row.account))] };
}

async function purgeAll(tx: Tx, devices: readonly DeviceNo[]): Promise<number> {
  let purged = 0;
  for (const device of devices) purged += await purgeToDevice(tx, device);
  return purged;
}

/**
 * States of tokens that were replaced by a later one long ago: neither used nor given out in the last `keepMs` of the session's use. Counted
 * from the session's last use and not from now: what a session's last answer gave stays as long as the session.
 */
export async function deleteSessionStates(tx: Tx, keepMs: number): Promise<number> {
  const deleted = await tx`
    delete from session_states st using (
      select st.session, st.state from session_states st join sessions s on s.session = st.session
      where st.state <> s.state and st.used_at < s.used_at - ${keepMs}::float8 * interval '1 millisecond'
      limit ${BATCH_ROWS}
    ) old
    where st.session = old.session and st.state = old.state`;
  return deleted.count;
}

/** Page answers of a session that are kept whatever their age. */
const STORED_PAGES = 100;

/**
 * Page answers that are older than any token that is still answered. The newest ones of a session stay nevertheless: a token with a later
 * position may not have merged them into its state yet, because it may have been given out while the page was requested.
 */
export async function deleteSessionPages(tx: Tx): Promise<number> {
  const deleted = await tx`
    delete from session_pages p using (
      select p.session, p.page
      from session_pages p
      join sessions s using (session)
      join accounts a using (account)
      where p.position < a.horizon and p.page <= (select max(page) from session_pages n where n.session = p.session) - ${STORED_PAGES}::integer
      limit ${BATCH_ROWS}
    ) old
    where p.session = old.session and p.page = old.page`;
  return deleted.count;
}

/** Ordered rooms of snapshots whose pages cannot be requested any more: they are valid for `keepMs` after the snapshot (D15). */
export async function deleteListSnapshots(tx: Tx, at: Date, keepMs: number): Promise<number> {
  const deleted = await tx`
    delete from list_snapshots l using (
      select session, snapshot from list_snapshots where created_at < ${before(at, 2 * keepMs)} limit ${BATCH_ROWS}
    ) old
    where l.session = old.session and l.snapshot = old.snapshot`;
  return deleted.count;
}
