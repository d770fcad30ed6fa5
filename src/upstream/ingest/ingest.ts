/** What goes into ingest and what comes out of it. */

import type { WakeKind } from "../../feed/hub.ts";
import type { Sql, Tx } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import type { KnownDevice, LockedAccount } from "../../store/ingest/device.ts";
import { holdsLease, lockAccount, lockDevice } from "../../store/ingest/device.ts";
import type { Known } from "../../store/ingest/known.ts";
import { countMembers, readAccountData, readKnown, readStandIns, readWholeState } from "../../store/ingest/known.ts";
import { insertPoison } from "../../store/ingest/poison.ts";
import { writeAccountSince, writeDevice, writeRooms } from "../../store/ingest/write.ts";
import type { AccountNo, DeviceNo, Position, RoomId, UserId } from "../../wire/ids.ts";
import { isStorable } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { cutResponse } from "../../wire/v2-response.ts";
import { directRooms } from "./facts.ts";
import { needsOf } from "./needs.ts";
import type { PlanContext } from "./plan-context.ts";
import { KnownIndex } from "./plan-context.ts";
import { messageHash, planDevice } from "./plan-device.ts";
import { contentOf } from "./plan-room-facts.ts";
import type { Plan } from "./plan.ts";
import { planBatch } from "./plan.ts";
import { describe, isPoison, planning } from "./poison.ts";
import { DIRECT, touchedBy } from "./touched.ts";

export type IngestDeps = { readonly sql: Sql };

/** One v2 response, and what the poll that got it was asked with. */
export type IngestInput = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** The account's own user id. */
  readonly userId: UserId;
  /** The epoch of the lease that the poller holds; null: it holds none, none is checked. */
  readonly epoch: number | null;
  /** The poll carried rooms: the response advances accounts.since as well as devices.since. */
  readonly rooms: boolean;
  /** accounts.since that the poll was asked with; not compared unless `rooms`. */
  readonly accountSince: string | null;
  /** devices.since that was known when the poll was asked. */
  readonly deviceSince: string | null;
  /** To-device messages in the response may be doubles of stored ones: a room poller that took over from another device. */
  readonly overlap: boolean;
  /** The response's body. */
  readonly text: string;
  /** When it came, ms. */
  readonly now: number;
};

/** What a batch changed, for wake-ups. */
export type News = { readonly kinds: ReadonlySet<WakeKind>; readonly rooms: ReadonlySet<RoomId> };

/**
 * - stored: all of it is committed. `toDevice`: the response held to-device messages (doubles included).
 * - stale: since was not what the poll was asked with, or the lease is not ours. Nothing was written: stop and reload.
 * - poisoned: the content could not be stored; to-device messages and device data were, the rest is kept aside in `poison`,
 *   and since advanced. `error` holds no event contents.
 */
export type IngestResult =
  | {
      readonly kind: "stored";
      readonly position: Position;
      readonly nextBatch: string;
      readonly news: News;
      readonly toDevice: boolean;
    }
  | { readonly kind: "stale" }
  | { readonly kind: "poisoned"; readonly error: string; readonly nextBatch: string; readonly toDevice: boolean };

/**
 * Stores one v2 response in one transaction: a crash leaves all of it or nothing (B8, B26), and the same response again is stale.
 * @throws BadResponse where the text is no v2 response; the database's error where it could not be asked.
 */
export async function ingest(deps: IngestDeps, input: IngestInput): Promise<IngestResult> {
  const response = cutResponse(input.text, input.now);
  try {
    return await writeTx(deps.sql, (tx) => store(tx, input, response));
  } catch (error) {
    if (!isPoison(error)) throw error;
    return await writeTx(deps.sql, (tx) => setAside(tx, input, response, describe(error)));
  }
}

async function store(tx: Tx, input: IngestInput, response: V2Response): Promise<IngestResult> {
  const reset = input.rooms && input.accountSince === null;
  const hashes = response.toDevice.map(messageHash);
  const touched = input.rooms ? touchedBy(response, input.userId, reset) : null;
  const [locked, found] = await Promise.all([lock(tx, input, hashes), touched && readKnown(tx, input.account, touched)]);
  if (locked === null) return { kind: "stale" };
  const { account, device } = locked;
  const devicePlan = planning(() => planDevice(device, response, hashes, account.position));
  const kinds = new Set<WakeKind>();
  if (devicePlan.toDevice.length > 0) kinds.add("to_device");
  if (devicePlan.deviceLists.length > 0 || devicePlan.counts_seq !== device.counts_seq) kinds.add("device_lists");
  const queries = writeDevice(tx, input.device, devicePlan);
  let position = account.position;
  let rooms: ReadonlySet<RoomId> = new Set();
  if (found) {
    const plan = await planRooms(tx, input, response, account, found);
    for (const kind of plan.kinds) kinds.add(kind);
    if (!account.complete) kinds.add("complete");
    ({ rooms } = plan);
    ({ position } = plan.writes);
    queries.push(...writeRooms(tx, input.account, input.device, response.next_batch, plan.writes));
  }
  await Promise.all(queries);
  return {
    kind: "stored",
    position: position as Position,
    nextBatch: response.next_batch,
    news: { kinds, rooms },
    toDevice: response.toDevice.length > 0,
  };
}

async function planRooms(tx: Tx, input: IngestInput, response: V2Response, account: LockedAccount, found: Known): Promise<Plan> {
  const known = new KnownIndex(found);
  // A since that is gone although the account was complete has been lost: the account is synced anew (D26).
  const reset = account.since === null && account.complete;
  const needs = planning(() => needsOf(response, known, reset));
  const [wholeState, counts, standIns, direct] = await Promise.all([
    readWholeState(tx, input.account, needs.wholeState),
    countMembers(tx, input.account, needs.count),
    readStandIns(tx, input.account, needs.standIns, input.userId),
    readAccountData(tx, input.account, needs.direct ? [{ room_id: "", type: DIRECT }] : []),
  ]);
  return planning(() => {
    const stateOf = Map.groupBy(wholeState, (row) => row.room_id);
    const standInsOf = Map.groupBy(standIns, (member) => member.room_id);
    const context: PlanContext = {
      me: input.userId,
      now: input.now,
      reset,
      ignored: JSON.parse(account.ignored) as UserId[],
      known,
      extra: {
        wholeState: new Map(needs.wholeState.map((room) => [room, stateOf.get(room) ?? []])),
        counts: new Map(counts.map((row) => [row.room_id, row])),
        standIns: new Map(needs.standIns.map((room) => [room, standInsOf.get(room) ?? []])),
      },
      direct: directOf(response, direct[0]?.body),
    };
    return planBatch(context, response, account.position);
  });
}

/** `stored`: the body of m.direct, where it was needed and is there. */
function directOf(response: V2Response, stored: string | undefined): PlanContext["direct"] {
  const told = response.accountData.find((item) => item.type === DIRECT);
  if (told) return { rooms: directRooms(told.content), told: true };
  return stored === undefined ? null : { rooms: directRooms(contentOf(stored)), told: false };
}

/** Locks the account and the device; null: they are not as they were when the poll was asked, or the lease is lost. */
async function lock(tx: Tx, input: IngestInput, hashes: readonly string[]): Promise<{ account: LockedAccount; device: KnownDevice } | null> {
  // In this order on the wire: what is read after the lock is what the last writer left.
  const [account, held, device] = await Promise.all([
    lockAccount(tx, input.account),
    holdsLease(tx, input.account, input.epoch),
    lockDevice(tx, input.account, input.device, hashes, input.overlap),
  ]);
  if (!account || !device || !held || device.since !== input.deviceSince) return null;
  return input.rooms && account.since !== input.accountSince ? null : { account, device };
}

/** What is not for the rooms: to-device messages must not be lost with a bad room (TestBadPollDataDoesntDropToDeviceMsgs). */
async function setAside(tx: Tx, input: IngestInput, response: V2Response, error: string): Promise<IngestResult> {
  const storable = { ...response, toDevice: response.toDevice.filter(isStorable) };
  const hashes = storable.toDevice.map(messageHash);
  const locked = await lock(tx, input, hashes);
  if (locked === null) return { kind: "stale" };
  const queries = writeDevice(tx, input.device, planDevice(locked.device, storable, hashes, locked.account.position));
  if (input.rooms) queries.push(writeAccountSince(tx, input.account, response.next_batch));
  await Promise.all([...queries, insertPoison(tx, input.account, input.device, error, input.text)]);
  return { kind: "poisoned", error, nextBatch: response.next_batch, toDevice: response.toDevice.length > 0 };
}
