/** Stores what was read from the homeserver again: a room in full, or account data. The account's `since` does not change. */

import { needOf } from "../../base/database-needs.ts";
import { commitWith, type Sql, type Tx, writeTx } from "../../store/db.ts";
import { heldLeases, lockAccounts } from "../../store/ingest/device.ts";
import { readKnown } from "../../store/ingest/known.ts";
import { writeRooms } from "../../store/ingest/write.ts";
import type { AccountNo, DeviceNo, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { BatchNews } from "./ingest-result.ts";
import { roomsIn } from "./parts.ts";
import { planRooms } from "./plan-rooms.ts";
import { fits, separate } from "./isolate-unstorable.ts";
import type { Finish } from "./store-jobs.ts";
import { touchedBy } from "./touched.ts";

export type RereadInput = {
  readonly account: AccountNo;
  /** The device whose token it was read with. */
  readonly device: DeviceNo;
  readonly userId: UserId;
  /** Of the account's lease. */
  readonly epoch: number;
  /** In the form of a v2 response. Its device parts and its `next_batch` are ignored. */
  readonly response: V2Response;
  /** Its rooms are not in full: it has only events that are stored and that have changed. */
  readonly inPart?: boolean;
  /** When it arrived, ms. */
  readonly now: number;
};

/** `left`: how many events and other items could not be stored. */
export type RereadResult = { readonly kind: "stored"; readonly news: BatchNews; readonly left: number } | { readonly kind: "stale" };

/** If a room cannot be stored, the events that cannot are left out. "stale": the lease is lost, or the account is not synced. */
export async function storeReread(sql: Sql, input: RereadInput): Promise<RereadResult> {
  try {
    return await writeTx(sql, (tx) => store(tx, input, commitWith));
  } catch (error) {
    if (needOf(error) !== "unknown") throw error;
  }
  const { response } = input;
  const without = (keep: ReadonlySet<string>): RereadInput => ({ ...input, response: withItems(response, keep) });
  const holds = (keep: ReadonlySet<string>) => fits(sql, (tx) => store(tx, without(keep), async (_, queries) => void (await Promise.all(queries))));
  const { good, bad } = await separate(itemsOf(response), holds);
  const result = await writeTx(sql, (tx) => store(tx, without(good), commitWith));
  return result.kind === "stale" ? result : { ...result, left: bad.length };
}

async function store(tx: Tx, input: RereadInput, finish: Finish): Promise<RereadResult> {
  const { account: no, device, userId, epoch, response, now } = input;
  const [accounts, held, known] = await Promise.all([
    lockAccounts(tx, [no], "wait"),
    heldLeases(tx, [{ account: no, epoch }]),
    readKnown(tx, [{ account: no, touched: touchedBy(response, userId, false) }]),
  ]);
  const [account, found] = [accounts.get(no), known.get(no)];
  if (!account || account.since === null || !found || !held.has(no)) {
    await finish(tx, []);
    return { kind: "stale" };
  }
  const reread = new Set(input.inPart ? [] : roomsIn(response));
  const { writes, kinds, rooms } = await planRooms(tx, { account: no, userId, now, reread }, response, account, found);
  await finish(tx, writeRooms(tx, [{ account: no, device, since: account.since, writes }]));
  return { kind: "stored", news: { kinds, rooms }, left: 0 };
}

/** The events, receipts and account data of its rooms. */
function itemsOf(response: V2Response): string[] {
  return [...response.join.values(), ...response.leave.values()].flatMap(({ state, timeline, ephemeral, accountData }) => [
    ...[...state, ...timeline].map((event) => event.event_id),
    ...ephemeral.receipts.map(receiptItem),
    ...accountData.map(({ type }) => type),
  ]);
}

function withItems(response: V2Response, keep: ReadonlySet<string>): V2Response {
  const storable = (section: V2JoinedRoom): V2JoinedRoom => ({
    ...section,
    state: section.state.filter((event) => keep.has(event.event_id)),
    timeline: section.timeline.filter((event) => keep.has(event.event_id)),
    ephemeral: { ...section.ephemeral, receipts: section.ephemeral.receipts.filter((receipt) => keep.has(receiptItem(receipt))) },
    accountData: section.accountData.filter(({ type }) => keep.has(type)),
  });
  const inAll = <Id>(sections: ReadonlyMap<Id, V2JoinedRoom>) => new Map([...sections].map(([id, section]) => [id, storable(section)]));
  return { ...response, join: inAll(response.join), leave: inAll(response.leave) };
}

function receiptItem({ kind, user_id, thread_id }: V2JoinedRoom["ephemeral"]["receipts"][number]): string {
  return JSON.stringify([kind, user_id, thread_id]);
}
