/**
 * v2 answers that are passed to a client of a polled device (D1). Such a client takes part in the purge of to-device messages: it has one
 * session of kind `v2` per device. Its v2 `since` acknowledges what was sent with that token.
 */

import { createHash } from "node:crypto";
import type { AccountNo, DeviceNo, SessionNo } from "../wire/ids.ts";
import type { PassInput, PassOutput, PassStart } from "../wire/passed-answer.ts";
import type { Db, Tx } from "./db.ts";
import { acknowledge, appendPassed, purgeToDevice, readToDevice } from "./to-device.ts";

export type PassedAnswer = PassInput & {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** Most messages that the client is sent. */
  readonly limit: number;
};

/**
 * Where the device's v2 client is in the queue when it asks with `since`; creates its session if there is none. Acknowledges nothing yet.
 * Null: the device is gone, e.g. it has logged out.
 */
export async function startPass(db: Db, account: AccountNo, device: DeviceNo, since: string | null): Promise<PassStart | null> {
  const found = await participant(db, account, device);
  const [row] = await db<{ up_to: number; since_seq: number | null }[]>`
    select d.seq as up_to, (select seq from passed_batches b where b.device = d.device and token_hash = ${hashOfToken(since ?? "")}) as since_seq
    from devices d where device = ${device}`;
  if (!found || !row) return null;
  const acknowledged = Math.max(found.acked, row.since_seq ?? 0);
  return { acknowledged, upTo: row.up_to, waiting: await isWaiting(db, device, acknowledged) };
}

/** Whether a message above `after` is queued. */
export async function isWaiting(db: Db, device: DeviceNo, after: number): Promise<boolean> {
  return (await readToDevice(db, device, after, 1)).length > 0;
}

/**
 * Commits an answer before it is forwarded, acknowledges what its `since` stands for, and returns what the client is to be sent.
 *
 * The client is sent the queue up to `upTo` or the last message of the answer, whichever is later, and no further: all of that is older
 * upstream than `nextBatch`, so nothing that its next `since` acknowledges can come from upstream again.
 *
 * Null: the device is gone, e.g. it has logged out while the homeserver answered; nothing is committed.
 */
export async function passAnswer(tx: Tx, answer: PassedAnswer): Promise<PassOutput | null> {
  const { account, device, start } = answer;
  // The account and then the device, like every transaction that locks both: no two wait for each other.
  const [, locked] = await Promise.all([
    tx`select from accounts where account = ${account} for key share`,
    tx`select from devices where device = ${device} for no key update`,
  ]);
  const found = locked.count > 0 ? await participant(tx, account, device) : null;
  if (!found) return null;
  const { session } = found;
  await acknowledge(tx, session, start.acknowledged);
  await tx`update sessions set used_at = now() where session = ${session}`;
  const appended = await appendPassed(tx, device, answer.messages, start.acknowledged);
  const last = Math.max(start.upTo, appended.lastSeq);
  const rows = (await readToDevice(tx, device, start.acknowledged, answer.limit)).filter(({ seq }) => seq <= last);
  const sentUpTo = rows.at(-1)?.seq ?? start.acknowledged;
  await voidCopies(tx, answer);
  await recordBatch(tx, answer, sentUpTo);
  await purgeToDevice(tx, device);
  return { bodies: rows.map(({ body }) => body), sentUpTo, added: appended.added };
}

/**
 * Stops expecting copies that will not come: what was passed up to the client's `since` is deleted upstream by the request with it, and a
 * poll that was answered before that has been stored by now. Otherwise a later message with equal bytes would be taken for the copy.
 */
async function voidCopies(tx: Tx, { device, since }: PassedAnswer): Promise<void> {
  await tx`
    delete from to_device_passed where device = ${device} and (times = 0 or passed_at < now() - interval '2 minutes'
      and passed_at <= (select passed_at from passed_batches where device = ${device} and token_hash = ${hashOfToken(since ?? "")}))`;
}

/**
 * Records what `nextBatch` will acknowledge. A token that was sent before keeps its lower seq, and one that equals `since` is not recorded:
 * the client may have received only the earlier answer, and a message sent twice is better than a lost one.
 */
async function recordBatch(tx: Tx, answer: PassedAnswer, sentUpTo: number): Promise<void> {
  const { device, since, nextBatch } = answer;
  if (since === nextBatch) return;
  if (since !== null) {
    await tx`
      delete from passed_batches where device = ${device}
      and passed_at < (select passed_at from passed_batches where device = ${device} and token_hash = ${hashOfToken(since)})`;
  }
  await tx`delete from passed_batches where device = ${device} and passed_at < now() - interval '7 days'`;
  await tx`
    insert into passed_batches (device, token_hash, seq) values (${device}, ${hashOfToken(nextBatch)}, ${sentUpTo})
    on conflict (device, token_hash) do update set seq = least(passed_batches.seq, excluded.seq), passed_at = now()`;
}

/** The session that represents the device's v2 client; created if there is none. Null: the device is gone. */
async function participant(db: Db, account: AccountNo, device: DeviceNo): Promise<{ session: SessionNo; acked: number } | null> {
  const find = () => db<{ session: SessionNo; acked: number }[]>`
    select session, acked from sessions where device = ${device} and kind = 'v2' order by session limit 1`;
  const [found] = await find();
  if (found) return found;
  await db`
    insert into sessions (account, device, kind, takes_part)
    select a.account, d.device, 'v2', true from accounts a join devices d using (account)
    where d.device = ${device} and a.account = ${account} for key share of a, d
    on conflict (device) where kind = 'v2' do nothing`;
  const [made] = await find();
  return made ?? null;
}

function hashOfToken(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}
