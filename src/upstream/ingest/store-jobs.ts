/**
 * Stores the answers of one transaction: locks, reads what is known, plans, writes. Answers of several accounts share their statements, one
 * for each table.
 */

import type { WakeKind } from "../../feed/hub.ts";
import type { Tx } from "../../store/db.ts";
import { commitWith } from "../../store/db.ts";
import type { Busy, LockedAccount } from "../../store/ingest/device.ts";
import { heldLeases, lockAccounts, lockDevices } from "../../store/ingest/device.ts";
import type { KnownRows } from "../../store/ingest/known.ts";
import { readKnown } from "../../store/ingest/known.ts";
import { deleteRestored } from "../../store/ingest/reset.ts";
import type { StoredBatch } from "../../store/ingest/row-types.ts";
import { queueAllRooms, queueRereads, type Reread } from "../../store/ingest/set-aside.ts";
import type { Statement } from "../../store/ingest/statement.ts";
import { type Batch, writeDevices, writeRooms } from "../../store/ingest/write.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import type { IngestResult } from "./ingest-result.ts";
import type { Job, Locked } from "./job.ts";
import { askedDevice, type DevicePlans, planDevices } from "./plan-devices.ts";
import { planRooms } from "./plan-rooms.ts";
import type { IngestPlan } from "./plan.ts";
import { touchedBy } from "./touched.ts";

/** Sends a transaction's last statements and ends it. */
export type Finish = (tx: Tx, queries: readonly Statement[]) => Promise<void>;

/** `known`: what was known of the account's rooms when `roomPlan` was made; null: the plan was made from more than that. */
type PlannedJob = {
  readonly job: Job;
  readonly locked: Locked;
  readonly devicePlans: DevicePlans;
  readonly roomPlan: IngestPlan | null;
  readonly known: KnownRows | null;
};

/** The results, in the order of the jobs. "busy": another transaction has locked the account or device, or they do not exist. */
export async function storeJobs(tx: Tx, jobs: readonly Job[], busy: Busy, finish: Finish = commitWith): Promise<(IngestResult | "busy")[]> {
  const touched = jobs.flatMap(({ input, rounds }) => {
    if (!input.rooms) return [];
    return { account: input.account, touched: touchedBy(firstOf(rounds), input.userId, input.accountSince === null) };
  });
  const locking = lock(tx, jobs, busy);
  if (jobs.some(({ input }) => input.rooms && input.accountSince === null)) await forgetRestored(tx, jobs, await locking);
  const [lockedOf, known] = await Promise.all([locking, readKnown(tx, touched)]);
  const stored = await Promise.all(
    jobs.map(async (job): Promise<PlannedJob | "stale" | "busy"> => {
      const locked = lockedOf(job);
      if (locked === "stale" || locked === "busy") return locked;
      const devicePlans = planDevices(job, locked);
      const found = job.input.rooms ? known.get(job.input.account) : undefined;
      return { job, locked, devicePlans, ...(found ? await planRounds(tx, job, locked.account, found) : { roomPlan: null, known: null }) };
    }),
  );
  const written = stored.filter((outcome) => typeof outcome !== "string");
  const batches = written.flatMap(({ job, roomPlan }) => (roomPlan ? [batchFor(job, roomPlan)] : []));
  const ofDevices = written.flatMap(({ devicePlans }) => devicePlans.all);
  await finish(tx, [
    // Before the accounts' rows: an account with rooms to be read is not complete.
    ...written.flatMap(({ job: { input } }) => queueAllRooms(tx, input.account, input.toRead ?? [])),
    ...(ofDevices.length > 0 ? writeDevices(tx, ofDevices) : []),
    ...(batches.length > 0 ? writeRooms(tx, batches) : []),
    ...written.flatMap(({ job: { input, unsure } }) => queueRereads(tx, input.account, "membership", 0, unsure.map(roomToRead))),
  ]);
  return stored.map((outcome) => (outcome === "stale" ? { kind: "stale" } : outcome === "busy" ? "busy" : resultOf(outcome)));
}

/** Plans one round after the other. The writes of all but the last one are sent to the database at once, because the next round builds on them. */
async function planRounds(tx: Tx, job: Job, account: LockedAccount, found: KnownRows): Promise<Pick<PlannedJob, "roomPlan" | "known">> {
  const { input, rounds } = job;
  const { account: no, userId, now } = input;
  let plan = await planRooms(tx, { account: no, userId, now, present: job.missing }, firstOf(rounds), account, found);
  for (const response of rounds.slice(1)) {
    const before = plan;
    // oxlint-disable-next-line no-await-in-loop -- a round is planned from what the one before has written
    await Promise.all(writeRooms(tx, [batchFor(job, before)]));
    // oxlint-disable-next-line no-await-in-loop
    const known = await readKnown(tx, [{ account: input.account, touched: touchedBy(response, input.userId, false) }]);
    const { position, ignored } = before.writes;
    const moved: LockedAccount = { ...account, position, since: response.next_batch, complete: true, ignored: ignored ?? account.ignored };
    // oxlint-disable-next-line no-await-in-loop
    const next = await planRooms(tx, { account: no, userId, now }, response, moved, known.get(no) ?? found);
    plan = {
      writes: next.writes,
      kinds: before.kinds.union(next.kinds),
      rooms: before.rooms.union(next.rooms),
      gaps: before.gaps + next.gaps,
      replaced: [...before.replaced, ...next.replaced],
    };
  }
  return { roomPlan: plan, known: rounds.length === 1 ? found : null };
}

/** What was stored of accounts whose homeserver was restored (T3) is not compared with their new first sync: it is gone. */
async function forgetRestored(tx: Tx, jobs: readonly Job[], lockedOf: (job: Job) => Locked | "stale" | "busy"): Promise<void> {
  const restored = jobs.filter((job) => {
    const locked = job.input.rooms ? lockedOf(job) : "stale";
    return typeof locked !== "string" && locked.account.restored;
  });
  if (restored.length > 0)
    await deleteRestored(
      tx,
      restored.map(({ input }) => input.account),
    );
}

function roomToRead(name: RoomId): Reread {
  return { kind: "room", name };
}

function firstOf(rounds: readonly V2Response[]): V2Response {
  const [first] = rounds;
  if (!first) throw new Error("an answer without a round");
  return first;
}

function batchFor({ input: { account, device, presence }, response }: Job, { writes }: IngestPlan): Batch {
  return { account, device, since: response.next_batch, presence, writes };
}

function resultOf(stored: PlannedJob): IngestResult {
  const {
    job: { response },
    locked: { account, device },
    devicePlans: { own, countsAreOld },
    roomPlan,
  } = stored;
  const kinds = new Set<WakeKind>(roomPlan?.kinds);
  if (own.toDevice.length > 0) kinds.add("to_device");
  if (own.deviceLists.length > 0) kinds.add("device_lists");
  if (own.counts_seq !== device.counts_seq) kinds.add("key_counts");
  if (roomPlan && !account.complete) kinds.add("complete");
  return {
    kind: "stored",
    position: (roomPlan?.writes.position ?? account.position) as Position,
    nextBatch: response.next_batch,
    news: { kinds, rooms: roomPlan?.rooms ?? new Set() },
    toDevice: response.toDevice.length > 0,
    countsAreOld,
    gaps: account.since === null ? 0 : (roomPlan?.gaps ?? 0),
    replaced: roomPlan?.replaced ?? [],
    batch: batchOf(stored),
    setAside: null,
  };
}

/** null also for an account that was not complete, or that ignores other users from now on, or if there is more than one round. */
function batchOf({ job: { input, response }, locked: { account }, roomPlan, known }: PlannedJob): StoredBatch | null {
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

/** Locks accounts and devices. Stale: they have changed since the poll was sent, or the lease is lost. */
async function lock(tx: Tx, jobs: readonly Job[], busy: Busy): Promise<(job: Job) => Locked | "stale" | "busy"> {
  const leases = jobs.flatMap(({ input: { account, epoch } }) => (epoch === null ? [] : { account, epoch }));
  // Sent in this order: what is read after the lock is what the last writer left.
  const [accounts, held, devices] = await Promise.all([
    lockAccounts(
      tx,
      jobs.map(({ input }) => input.account),
      busy,
    ),
    heldLeases(tx, leases),
    lockDevices(tx, jobs.map(askedDevice), busy),
  ]);
  return ({ input }) => {
    const [account, device] = [accounts.get(input.account), devices.asked.get(input.device)];
    if (devices.busy.has(input.account)) return "busy";
    if (!account || !device) return busy === "skip" ? "busy" : "stale";
    if (device.since !== input.deviceSince || (input.epoch !== null && !held.has(input.account))) return "stale";
    return input.rooms && account.since !== input.accountSince ? "stale" : { account, device, others: devices.others.get(input.account) ?? [] };
  };
}
