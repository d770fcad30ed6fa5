/**
 * v2 responses become rows. Each is one batch of its account: a crash leaves all of it or nothing. Batches of several accounts that come at
 * the same time are stored in one transaction, with one statement a table: that costs little more than one of them would.
 */

import { Gathered } from "../../base/gathered.ts";
import type { Metrics } from "../../base/metrics.ts";
import { traced } from "../../base/tracing.ts";
import type { WakeKind } from "../../feed/hub.ts";
import type { Sql, Tx } from "../../store/db.ts";
import { commitWith, writeTx } from "../../store/db.ts";
import type { Busy, KnownDevice, LockedAccount } from "../../store/ingest/device.ts";
import { heldLeases, lockAccounts, lockDevices } from "../../store/ingest/device.ts";
import type { Known } from "../../store/ingest/known.ts";
import { readKnown } from "../../store/ingest/known.ts";
import { insertPoison } from "../../store/ingest/poison.ts";
import type { DeviceWrites, StoredBatch } from "../../store/ingest/rows.ts";
import { type Batch, writeAccountSince, writeDevices, writeRooms } from "../../store/ingest/write.ts";
import type { AccountNo, DeviceNo, Position, RoomId, UserId } from "../../wire/ids.ts";
import { isStorable } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { cutResponse } from "../../wire/v2-response.ts";
import { messageHash, planDevice } from "./plan-device.ts";
import { planRooms } from "./plan-rooms.ts";
import type { Plan } from "./plan.ts";
import { describe, isPoison, planning } from "./poison.ts";
import { touchedBy } from "./touched.ts";

export type IngestDeps = { readonly sql: Sql; readonly metrics?: Pick<Metrics, "committed" | "ingested"> };

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
      /** Rooms that were known, and of which events were left out. */
      readonly gaps: number;
      /** Null where it brought no rooms, or is more than what follows what was there. */
      readonly batch: StoredBatch | null;
    }
  | { readonly kind: "stale" }
  | { readonly kind: "poisoned"; readonly error: string; readonly nextBatch: string; readonly toDevice: boolean };

type Job = { readonly input: IngestInput; readonly response: V2Response; readonly hashes: readonly string[] };

/** Transactions at the same time: while one waits for the disk, the next one is made. */
const LANES = 2;
/** Responses in one transaction, and characters of one that has others wait with it. */
const MOST = 64;
const LARGE = 200_000;

export class Ingester {
  readonly #sql: Sql;
  readonly #metrics: IngestDeps["metrics"];
  readonly #together: Gathered<Job, IngestResult | "busy">;

  constructor(deps: IngestDeps) {
    this.#sql = deps.sql;
    this.#metrics = deps.metrics;
    this.#together = new Gathered((jobs) => this.#store(jobs, jobs.length > 1 ? "skip" : "wait"), {
      lanes: LANES,
      most: MOST,
      keyOf: ({ input }) => input.account,
    });
  }

  /**
   * Stores one v2 response: a crash leaves all of it or nothing (B8, B26), and the same response again is stale.
   * @throws BadResponse where the text is no v2 response; the database's error where it could not be asked.
   */
  async ingest(input: IngestInput): Promise<IngestResult> {
    const startedAt = performance.now();
    const result = await this.#ingest(input);
    this.#metrics?.ingested(result.kind, performance.now() - startedAt, result.kind === "stored" ? result.gaps : 0);
    return result;
  }

  async #ingest(input: IngestInput): Promise<IngestResult> {
    const response = cutResponse(input.text, input.now);
    const job = { input, response, hashes: response.toDevice.map(messageHash) };
    try {
      const result = input.text.length > LARGE ? "busy" : await this.#together.ask(job);
      return result === "busy" ? await this.#alone(job) : result;
    } catch (error) {
      if (!isPoison(error)) throw error;
      return await writeTx(this.#sql, (tx) => setAside(tx, input, response, describe(error)));
    }
  }

  async #store(jobs: readonly Job[], busy: Busy): Promise<(IngestResult | "busy")[]> {
    const startedAt = performance.now();
    const results = await traced("store", () => writeTx(this.#sql, (tx) => storeAll(tx, jobs, busy)), { responses: jobs.length });
    this.#metrics?.committed(jobs.length, performance.now() - startedAt);
    return results;
  }

  /** In a transaction of its own, which waits for who has the account. */
  async #alone(job: Job): Promise<IngestResult> {
    const [result] = await this.#store([job], "wait");
    if (result === undefined || result === "busy") throw new Error("no result of a single response");
    return result;
  }
}

/** `roomPlan`: with what was known of the account's rooms. */
type Stored = {
  readonly job: Job;
  readonly locked: Locked;
  readonly devicePlan: DeviceWrites;
  readonly roomPlan: Plan | null;
  readonly known: Known | undefined;
};

/** Of each job, in their order. "busy": somebody has its account or device just now, or there is none. */
async function storeAll(tx: Tx, jobs: readonly Job[], busy: Busy): Promise<(IngestResult | "busy")[]> {
  const touched = jobs.flatMap(({ input, response }) => {
    if (!input.rooms) return [];
    return { account: input.account, touched: touchedBy(response, input.userId, input.accountSince === null) };
  });
  const [lockedOf, known] = await Promise.all([lock(tx, jobs, busy), readKnown(tx, touched)]);
  const stored = await Promise.all(
    jobs.map(async (job): Promise<Stored | "stale" | "busy"> => {
      const locked = lockedOf(job);
      if (locked === "stale" || locked === "busy") return locked;
      const devicePlan = planning(() => planDevice(locked.device, job.response, job.hashes, locked.account.position));
      const found = job.input.rooms ? known.get(job.input.account) : undefined;
      return { job, locked, devicePlan, roomPlan: found ? await planRooms(tx, job.input, job.response, locked.account, found) : null, known: found };
    }),
  );
  const written = stored.filter((one) => typeof one !== "string");
  const batches = written.flatMap(({ job: { input, response }, roomPlan }): Batch[] =>
    roomPlan ? [{ account: input.account, device: input.device, since: response.next_batch, writes: roomPlan.writes }] : [],
  );
  await commitWith(tx, [
    ...(written.length > 0
      ? writeDevices(
          tx,
          written.map(({ job, devicePlan }) => ({ device: job.input.device, writes: devicePlan })),
        )
      : []),
    ...(batches.length > 0 ? writeRooms(tx, batches) : []),
  ]);
  return stored.map((one) => (one === "stale" ? { kind: "stale" } : one === "busy" ? "busy" : resultOf(one)));
}

function resultOf(stored: Stored): IngestResult {
  const {
    job: { response },
    locked: { account, device },
    devicePlan,
    roomPlan,
  } = stored;
  const kinds = new Set<WakeKind>(roomPlan?.kinds);
  if (devicePlan.toDevice.length > 0) kinds.add("to_device");
  if (devicePlan.deviceLists.length > 0 || devicePlan.counts_seq !== device.counts_seq) kinds.add("device_lists");
  if (roomPlan && !account.complete) kinds.add("complete");
  return {
    kind: "stored",
    position: (roomPlan?.writes.position ?? account.position) as Position,
    nextBatch: response.next_batch,
    news: { kinds, rooms: roomPlan?.rooms ?? new Set() },
    toDevice: response.toDevice.length > 0,
    gaps: account.since === null ? 0 : (roomPlan?.writes.timeline ?? []).filter((row) => row.gap).length,
    batch: batchOf(stored),
  };
}

/** null: also of an account that was not complete, or that ignores others from now on. */
function batchOf({ job: { input, response }, locked: { account }, roomPlan, known }: Stored): StoredBatch | null {
  if (!roomPlan || !known || !account.complete || account.since === null || roomPlan.writes.ignored !== null) return null;
  const changed = new Set(roomPlan.writes.facts.map((row) => row.room_id));
  const before = known.rooms.flatMap(({ room_id, facts }) => (facts && changed.has(room_id) ? [[room_id, facts] as const] : []));
  return {
    account: input.account,
    device: input.device,
    from: account.position,
    since: response.next_batch,
    forgotten: account.forgotten,
    writes: roomPlan.writes,
    factsBefore: new Map(before),
  };
}

type Locked = { readonly account: LockedAccount; readonly device: KnownDevice };

/** Locks accounts and devices. Stale: they are not as they were when the poll was asked, or the lease is lost. */
async function lock(tx: Tx, jobs: readonly Job[], busy: Busy): Promise<(job: Job) => Locked | "stale" | "busy"> {
  const leases = jobs.flatMap(({ input: { account, epoch } }) => (epoch === null ? [] : { account, epoch }));
  // In this order on the wire: what is read after the lock is what the last writer left.
  const [accounts, held, devices] = await Promise.all([
    lockAccounts(
      tx,
      jobs.map(({ input }) => input.account),
      busy,
    ),
    heldLeases(tx, leases),
    lockDevices(
      tx,
      jobs.map(({ input: { account, device, overlap }, hashes }) => ({ account, device, hashes, overlap })),
      busy,
    ),
  ]);
  return ({ input }) => {
    const [account, device] = [accounts.get(input.account), devices.get(input.device)];
    if (!account || !device) return busy === "skip" ? "busy" : "stale";
    if (device.since !== input.deviceSince || (input.epoch !== null && !held.has(input.account))) return "stale";
    return input.rooms && account.since !== input.accountSince ? "stale" : { account, device };
  };
}

/** What is not for the rooms: to-device messages must not be lost with a bad room (TestBadPollDataDoesntDropToDeviceMsgs). */
async function setAside(tx: Tx, input: IngestInput, response: V2Response, error: string): Promise<IngestResult> {
  const storable = { ...response, toDevice: response.toDevice.filter(isStorable) };
  const hashes = storable.toDevice.map(messageHash);
  const job = { input, response: storable, hashes };
  const locked = (await lock(tx, [job], "wait"))(job);
  if (locked === "stale" || locked === "busy") return { kind: "stale" };
  const writes = planDevice(locked.device, storable, hashes, locked.account.position);
  const queries = writeDevices(tx, [{ device: input.device, writes }]);
  if (input.rooms) queries.push(writeAccountSince(tx, input.account, response.next_batch));
  await Promise.all([...queries, insertPoison(tx, input.account, input.device, error, input.text)]);
  return { kind: "poisoned", error, nextBatch: response.next_batch, toDevice: response.toDevice.length > 0 };
}
