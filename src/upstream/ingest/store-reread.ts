/** Stores what was read from the homeserver again: a room in full, or account data. The account's `since` does not change. */

import { needOf } from "../../base/database-needs.ts";
import { commitWith, type Sql, type Tx, writeTx } from "../../store/db.ts";
import { heldLeases, lockAccounts } from "../../store/ingest/device.ts";
import { type KnownRows, readKnown } from "../../store/ingest/known.ts";
import { writeRooms } from "../../store/ingest/write.ts";
import type { WakeKind } from "../../feed/hub.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { BatchNews } from "./ingest-result.ts";
import { keyOf, roomsIn, withParts } from "./parts.ts";
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
  /** Rooms of which anything changed after their position are left out: what was read of them may be older. Default: none is. */
  readonly unchangedSince?: ReadonlyMap<RoomId, number>;
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

/**
 * Stores a room that the user left before the account's first v2 response (T22): unless it is known by now, as one without activity. Returns the
 * kinds of what changed.
 */
export async function storeLeftRoom(sql: Sql, input: Omit<RereadInput, "epoch">): Promise<ReadonlySet<WakeKind>> {
  const { account: no, device, userId, response, now } = input;
  return await writeTx(sql, async (tx) => {
    const [accounts, known] = await Promise.all([
      lockAccounts(tx, [no], "wait"),
      readKnown(tx, [{ account: no, touched: touchedBy(response, userId, false) }]),
    ]);
    const [account, found] = [accounts.get(no), known.get(no)];
    if (!account || account.since === null || !found || found.rooms.some((room) => room.membership !== null)) return new Set();
    // It was left before any feed began.
    const { writes, kinds } = await planRooms(tx, { account: no, userId, now }, response, { ...account, feed: false }, found);
    const standings = writes.standings.map((row) => ({ ...row, active_ord: 0, bump_ord: 0 }));
    await Promise.all(writeRooms(tx, [{ account: no, device, since: account.since, writes: { ...writes, standings } }]));
    return kinds;
  });
}

async function store(tx: Tx, input: RereadInput, finish: Finish): Promise<RereadResult> {
  const { account: no, device, userId, epoch, now } = input;
  const [accounts, held, known] = await Promise.all([
    lockAccounts(tx, [no], "wait"),
    heldLeases(tx, [{ account: no, epoch }]),
    readKnown(tx, [{ account: no, touched: touchedBy(input.response, userId, false) }]),
  ]);
  const [account, found] = [accounts.get(no), known.get(no)];
  if (!account || account.since === null || !found || !held.has(no)) {
    await finish(tx, []);
    return { kind: "stale" };
  }
  const response = withoutChanged(input, found);
  const reread = new Set(input.inPart ? [] : roomsIn(response));
  const { writes, kinds, rooms } = await planRooms(tx, { account: no, userId, now, reread }, response, account, found);
  await finish(tx, writeRooms(tx, [{ account: no, device, since: account.since, writes }]));
  return { kind: "stored", news: { kinds, rooms }, left: 0 };
}

function withoutChanged({ response, unchangedSince }: RereadInput, found: KnownRows): V2Response {
  if (!unchangedSince) return response;
  const isUnchanged = ({ room_id, standing }: KnownRows["rooms"][number]) => (standing?.changed_ord ?? 0) <= (unchangedSince.get(room_id) ?? 0);
  return withParts(response, new Set(found.rooms.filter(isUnchanged).map(({ room_id }) => keyOf({ kind: "room", name: room_id }))));
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
