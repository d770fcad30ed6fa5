/** Plans the rooms of a response: reads what the plan needs in addition to what is known already. */

import type { Tx } from "../../store/db.ts";
import { parseIgnored } from "../../store/ignored.ts";
import type { LockedAccount } from "../../store/ingest/device.ts";
import type { KnownRows } from "../../store/ingest/known.ts";
import { countMembers, readAccountData, readNewestEvents, readStandIns, readFullState } from "../../store/ingest/known.ts";
import type { AccountNo, RoomId, UserId } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { withoutFalseJoins } from "./aside.ts";
import { directRooms } from "./facts.ts";
import { needsOf } from "./needs.ts";
import type { PlanContext } from "./plan-context.ts";
import { KnownIndex } from "./plan-context.ts";
import { settleResponse } from "./own-bodies.ts";
import { contentOf } from "./plan-room-facts.ts";
import type { IngestPlan } from "./plan.ts";
import { planBatch } from "./plan.ts";
import { DIRECT } from "./touched.ts";

/** What the plan takes besides the response. */
export type RoomsInput = {
  readonly account: AccountNo;
  readonly userId: UserId;
  /** When the response arrived, ms. */
  readonly now: number;
  /** Rooms that exist although the response has no section for them: theirs was set aside. */
  readonly present?: ReadonlySet<RoomId>;
  /** Rooms that the response has in full, from scratch: they were read from the homeserver again. */
  readonly reread?: ReadonlySet<RoomId>;
};

/**
 * @param account as it is locked.
 * @param found what is known of the rows that the response touches.
 */
export async function planRooms(tx: Tx, input: RoomsInput, received: V2Response, account: LockedAccount, found: KnownRows): Promise<IngestPlan> {
  const { events, own } = settleResponse(received, found.bodies);
  const known = new KnownIndex(found);
  const { response, aside } = withoutFalseJoins(events, known);
  const isReset = account.since === null && account.position > 0;
  const { present = NONE, reread = NONE } = input;
  const needs = needsOf(response, known, input.userId, (room) => isReset || reread.has(room));
  const [fullState, counts, standIns, newest, direct] = await Promise.all([
    readFullState(tx, input.account, needs.fullState),
    countMembers(tx, input.account, needs.count),
    readStandIns(tx, input.account, needs.standIns, input.userId),
    readNewestEvents(tx, input.account, needs.unread, input.userId),
    readAccountData(tx, needs.direct ? [{ account: input.account, room_id: "", type: DIRECT }] : []),
  ]);
  const stateOf = Map.groupBy(fullState, (row) => row.room_id);
  const standInsOf = Map.groupBy(standIns, (member) => member.room_id);
  const context: PlanContext = {
    me: input.userId,
    now: input.now,
    reset: isReset,
    early: isReset && !account.complete,
    restored: account.restored,
    feed: account.feed && account.since !== null,
    present,
    reread,
    aside,
    ignored: parseIgnored(account.ignored),
    known,
    ownBodies: own,
    extra: {
      fullState: new Map(needs.fullState.map((room) => [room, stateOf.get(room) ?? []])),
      newest: new Map(newest.map((row) => [row.room_id, row])),
      counts: new Map(counts.map((row) => [row.room_id, row])),
      standIns: new Map(needs.standIns.map((room) => [room, standInsOf.get(room) ?? []])),
    },
    direct: directOf(response, direct[0]?.body),
  };
  return planBatch(context, response, account.position);
}

const NONE: ReadonlySet<RoomId> = new Set();

/** `stored`: the body of m.direct, if it was needed and exists. */
function directOf(response: V2Response, stored: string | undefined): PlanContext["direct"] {
  const inResponse = response.accountData.find((item) => item.type === DIRECT);
  if (inResponse) return { rooms: directRooms(inResponse.content), isInResponse: true };
  return stored === undefined ? null : { rooms: directRooms(contentOf(stored)), isInResponse: false };
}
