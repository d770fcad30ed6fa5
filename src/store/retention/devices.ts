/** Old data of devices (S2, D1, D2), and accounts that have no device any more. */

import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import type { Db, Tx } from "../db.ts";
import { deleteAccountRows } from "../devices.ts";
import { BATCH_ROWS, before } from "./step.ts";

const DAY = 24 * 3_600_000;
/** S2, D2: how long data waits for a reader. */
const WAIT_MS = 30 * DAY;
/** D1: tokens of passed v2 answers per device. */
const STORED_BATCHES = 20;

/** A batch of the messages that no client has fetched in 30 days (S2). */
export async function deleteUnwantedMessages(tx: Tx, at: Date): Promise<number> {
  const old = before(at, WAIT_MS);
  // A device's first message is its oldest, so one look-up tells whether there is anything to do.
  const deleted = await tx`
    delete from to_device where ctid = any(array(
      select t.ctid
      from devices d join to_device t using (device)
      where not exists (select from sessions s where s.device = d.device and s.takes_part)
        and (select f.received_at from to_device f where f.device = d.device order by f.seq limit 1) < ${old} and t.received_at < ${old}
      limit ${BATCH_ROWS}))`;
  return deleted.count;
}

/** Records of messages that a passed answer brought and the poller has not received within a day. */
export async function deletePassedNotes(tx: Tx, at: Date): Promise<number> {
  const deleted = await tx`
    delete from to_device_passed where ctid = any(array(
      select ctid from to_device_passed where passed_at < ${before(at, DAY)} limit ${BATCH_ROWS}))`;
  return deleted.count;
}

/** Tokens of passed answers that no v2 client will send again: older than 7 days, or not among the device's newest 20. */
export async function deletePassedBatches(tx: Tx, at: Date): Promise<number> {
  const deleted = await tx`
    delete from passed_batches p using (
      select device, token_hash from (
        select device, token_hash, passed_at, row_number() over (partition by device order by passed_at desc) as rank from passed_batches
      ) b
      where rank > ${STORED_BATCHES} or passed_at < ${before(at, 7 * DAY)} limit ${BATCH_ROWS}
    ) old
    where p.device = old.device and p.token_hash = old.token_hash`;
  return deleted.count;
}

/** Access tokens that the homeserver has refused for 30 days. */
export async function deleteDeadTokens(tx: Tx, at: Date): Promise<number> {
  const deleted = await tx`
    delete from tokens where token_hash in (select token_hash from tokens where dead_at < ${before(at, WAIT_MS)} limit ${BATCH_ROWS})`;
  return deleted.count;
}

/** Up to `limit` devices without any token: the last one died 30 days ago (D2). New devices are given time to get one. */
export async function tokenlessDevices(db: Db, at: Date, limit: number): Promise<{ account: AccountNo; device: DeviceNo }[]> {
  return await db<{ account: AccountNo; device: DeviceNo }[]>`
    select account, device from devices d
    where created_at < ${before(at, WAIT_MS)} and not exists (select from tokens t where t.device = d.device)
    order by device limit ${limit}`;
}

/** Deletes a device that still has no token, and with the last one its account. Returns what was deleted. */
export async function deleteTokenless(tx: Tx, account: AccountNo, device: DeviceNo): Promise<{ devices: number; accounts: number }> {
  // A transaction that registers a token locks the account's row too, so that no token can be added in between.
  await tx`select from accounts where account = ${account} for update`;
  const devices = await tx`delete from devices d where device = ${device} and not exists (select from tokens t where t.device = d.device)`;
  return { devices: devices.count, accounts: devices.count > 0 ? await deleteIfEmpty(tx, account) : 0 };
}

/** Up to `limit` accounts without a device. */
export async function deviceless(db: Db, at: Date, limit: number): Promise<AccountNo[]> {
  const rows = await db<{ account: AccountNo }[]>`
    select account from accounts a
    where created_at < ${before(at, WAIT_MS)} and not exists (select from devices d where d.account = a.account)
    order by account limit ${limit}`;
  return rows.map((row) => row.account);
}

/** Deletes an account that still has no device: 1, else 0. */
export async function deleteIfEmpty(tx: Tx, account: AccountNo): Promise<number> {
  const [row] = await tx<{ used: boolean }[]>`
    select exists (select from devices d where d.account = a.account) as used from accounts a where account = ${account} for update`;
  if (!row || row.used) return 0;
  await deleteAccountRows(tx, account);
  return 1;
}

/**
 * A batch of the presence of accounts without a session that asks for it. A connection that has asked may ask again, and is then sent what has
 * changed meanwhile: for that, what is stored remains as long as the account has connections.
 */
export async function deleteUnwantedPresence(tx: Tx): Promise<number> {
  const [row] = await tx<{ deleted: number }[]>`
    with gone as (
      delete from presence where ctid = any(array(
        select p.ctid from accounts a join presence p using (account)
        where not exists (select from sessions s where s.account = a.account and (s.presence or s.kind = 'connection'))
        limit ${BATCH_ROWS}))
      returning account),
    incomplete as (update accounts set presence_since = null where account in (select account from gone))
    select count(*)::integer as deleted from gone`;
  return row?.deleted ?? 0;
}

/** Limit for what is stored of parts that were set aside, compressed bytes (N3). */
const SET_ASIDE_BYTES = 2 ** 30;

/** Parts of responses that were set aside 30 days ago; and the oldest ones where there are more than 1 GiB. */
export async function deleteSetAside(tx: Tx, at: Date, mostBytes = SET_ASIDE_BYTES): Promise<number> {
  const deleted = await tx`
    delete from poison where id in (
      select id from (select id, at, sum(octet_length(body)) over (order by id desc) as bytes from poison) p
      where at < ${before(at, WAIT_MS)} or bytes > ${mostBytes}::bigint order by id limit ${BATCH_ROWS})`;
  return deleted.count;
}
