/**
 * The device's queue of to-device messages (S2), oldest first by `seq`. Bodies are stored byte for byte. What one reader has acknowledged
 * stays until every session that takes part has.
 */

import { createHash } from "node:crypto";
import type { DeviceNo, SessionNo } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";

/** A queued message. `before_pos`: the account's position before the batch that it came in (D19). */
export type ToDeviceRow = { readonly seq: number; readonly before_pos: number; readonly body: string };

/** The result of `appendPassed`. `lastSeq`: the seq of the last of the answer's messages (0: it had none). */
export type Appended = { readonly added: number; readonly lastSeq: number };

/** SHA-256 of a message's text: messages with equal bytes count as the same one where duplicates are looked for (D1). */
export function hashOfMessage(body: string): Buffer {
  return createHash("sha256").update(body, "utf8").digest();
}

/** At most `limit` messages with a seq above `after`, oldest first. */
export async function readToDevice(db: Db, device: DeviceNo, after: number, limit: number): Promise<ToDeviceRow[]> {
  const rows = await db<(ToDeviceRow & { readonly bytes: Buffer | null })[]>`
    select seq, before_pos, body, bytes from to_device where device = ${device} and seq > ${after} order by seq limit ${limit}`;
  return rows.map(({ bytes, ...row }) => (bytes === null ? row : { ...row, body: bytes.toString("utf8") }));
}

/** The seq and hash of every message above `after`: what a reader that acknowledged `after` still lacks. */
export async function unacknowledged(db: Db, device: DeviceNo, after: number): Promise<{ seq: number; hash: Buffer }[]> {
  return db<{ seq: number; hash: Buffer }[]>`
    select seq, hash from to_device where device = ${device} and seq > ${after} order by seq`;
}

/**
 * Commits the messages of a v2 answer that is passed to a client of a polled device (D1).
 *
 * A message whose bytes equal a queued one above `acknowledged` (not yet matched by another message of the same answer) is that one: the
 * poller was first. All others are queued, and recorded in to_device_passed, so that the poller's copy is dropped once. Takes the device's
 * row lock, as the poller's transaction does: the two never interleave.
 */
export async function appendPassed(tx: Tx, device: DeviceNo, bodies: readonly string[], acknowledged: number): Promise<Appended> {
  if (bodies.length === 0) return { added: 0, lastSeq: 0 };
  const [row] = await tx<{ seq: number }[]>`select seq from devices where device = ${device} for no key update`;
  if (!row) throw new Error("The device is gone");
  const known = new Map<string, number[]>();
  for (const { seq, hash } of await unacknowledged(tx, device, acknowledged)) push(known, hash.toString("base64"), seq);

  let lastSeq = 0;
  let next = row.seq;
  const fresh: { seq: number; body: string; hash: string }[] = [];
  for (const body of bodies) {
    const hash = hashOfMessage(body);
    let seq = known.get(hash.toString("base64"))?.shift();
    if (seq === undefined) {
      seq = ++next;
      fresh.push({ seq, body, hash: hash.toString("hex") });
    }
    lastSeq = Math.max(lastSeq, seq);
  }
  if (fresh.length > 0) {
    await tx`
      insert into to_device (device, seq, before_pos, body, hash)
      select ${device}, n.seq, a.position, n.body, decode(n.hash, 'hex')
      from json_to_recordset(${JSON.stringify(fresh)}::text::json) as n(seq bigint, body text, hash text),
           devices d join accounts a using (account) where d.device = ${device}`;
    await tx`update devices set seq = ${next} where device = ${device}`;
    await tx`
      insert into to_device_passed (device, hash, times)
      select ${device}, decode(n.hash, 'hex'), count(*)
      from json_to_recordset(${JSON.stringify(fresh.map(({ hash }) => ({ hash })))}::text::json) as n(hash text)
      group by n.hash
      on conflict (device, hash) do update set times = to_device_passed.times + excluded.times, passed_at = now()`;
  }
  return { added: fresh.length, lastSeq };
}

/** Records that a session has received everything up to `seq`; a lower value than before changes nothing. */
export async function acknowledge(db: Db, session: SessionNo, seq: number): Promise<void> {
  await db`update sessions set acked = ${seq} where session = ${session} and acked < ${seq}`;
}

/**
 * Deletes the messages that at least one session has acknowledged and no session that takes part still lacks (R9, S2). If none takes part,
 * what any session acknowledged is deleted. Returns how many were deleted.
 */
export async function purgeToDevice(db: Db, device: DeviceNo): Promise<number> {
  // The lowest position of those that take part is acknowledged by each of them, so no other bound is needed.
  const deleted = await db`
    delete from to_device where device = ${device} and seq <= (
      select coalesce(min(acked) filter (where takes_part), max(acked), 0) from sessions where device = ${device})`;
  return deleted.count;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
