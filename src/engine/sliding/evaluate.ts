/** One evaluation of a sliding sync request: what there is to tell now, read in one moment of the database. */

import { type ConnectionHead, readConnectionHead } from "../../store/connections.ts";
import { readTx, type Sql } from "../../store/db.ts";
import { roomsWithAllMembers } from "../../store/members.ts";
import { needKey, type Need } from "../../streams/stream.ts";
import type { AccountNo, DeviceNo, Position } from "../../wire/ids.ts";
import type { AccountRoomsCache } from "./account-rooms.ts";
import { type ConnectionState, LIVE, StateDraft } from "./connection-state.ts";
import type { SlidingContext } from "./context.ts";
import { type AccountDataResult, tellAccountData } from "./extensions/account-data.ts";
import { type E2eeResult, tellE2ee, tellToDevice, type ToDeviceResult } from "./extensions/device.ts";
import { type ReceiptsResult, tellReceipts } from "./extensions/receipts.ts";
import { tellTyping, type TypingResult } from "./extensions/typing.ts";
import type { Pos } from "./pos.ts";
import type { Dialect, SlidingBody } from "./request.ts";
import { askingForAllMembers, leaveBehind, type RoomJob, roomJobs } from "./room-jobs.ts";
import { type RoomResult, roomResults } from "./room-results.ts";
import { type ListResult, type Selection, selectRooms } from "./select.ts";
import { mergeSticky } from "./sticky.ts";

export type SlidingQuestion = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly pos: Pos;
  readonly state: ConnectionState;
  readonly body: SlidingBody;
  readonly dialect: Dialect;
  /** Needs that were already fetched, or could not be. */
  readonly tried: ReadonlySet<string>;
};

/** What an answer says, in no dialect yet. */
export type SlidingAnswer = {
  readonly lists: ReadonlyMap<string, ListResult>;
  readonly rooms: readonly RoomResult[];
  /** null or empty where the extension is not enabled or has nothing to tell. */
  readonly toDevice: ToDeviceResult | null;
  readonly e2ee: E2eeResult | null;
  readonly accountData: AccountDataResult;
  readonly receipts: ReceiptsResult;
  readonly typing: TypingResult;
};

export type SlidingOutcome = {
  readonly answer: SlidingAnswer;
  /** Worth ending a wait for. */
  readonly news: boolean;
  /** To be fetched before the question can be answered whole. */
  readonly needs: readonly Need[];
  /** Where the next position stands; its state is still to be numbered. */
  readonly position: Position;
  readonly e2ee: number;
  readonly upstream: string;
  readonly state: ConnectionState;
  /** False: the account's first v2 answer is still awaited. */
  readonly complete: boolean;
  /** Rooms that have news and were told before. */
  readonly updated: number;
  readonly idleMs: number;
};

/**
 * - gone: the device has no such connection.
 * - ahead: the position stands for more than is stored: our database was restored (D26).
 */
export type NoOutcome = "gone" | "ahead";

export function evaluateSliding(sql: Sql, cache: AccountRoomsCache, question: SlidingQuestion, now: number): Promise<SlidingOutcome | NoOutcome> {
  return readTx(sql, async (tx) => {
    const { account, device, pos } = question;
    const head = await readConnectionHead(tx, device, pos.session);
    if (!head) return "gone";
    if (head.position < pos.position || head.deviceSeq < pos.e2ee) return "ahead";
    const context: SlidingContext = {
      tx,
      account,
      device,
      userId: head.userId,
      from: pos.position,
      to: head.position,
      live: pos.upstream !== "",
      upstreamSince: head.upstreamSince,
      ignored: head.ignored,
      tried: question.tried,
      now,
    };
    return tell(context, cache, head, question);
  });
}

async function tell(context: SlidingContext, cache: AccountRoomsCache, head: ConnectionHead, question: SlidingQuestion): Promise<SlidingOutcome> {
  const { pos, dialect } = question;
  const draft = new StateDraft(question.state);
  const body = mergeSticky(question.body, question.state, draft);
  const { extensions } = body;
  // What belongs to the device does not wait for the rooms.
  const [toDevice, e2ee, selection] = await Promise.all([
    tellToDevice(context, extensions.toDevice),
    tellE2ee(context, extensions.e2ee === true, pos.e2ee, head.deviceSeq, draft),
    select(context, cache, head, question, body),
  ]);
  const { jobs, needs: memberNeeds } = await jobsOf(context, selection, draft, question.state);
  const { rooms, needs } = memberNeeds.length > 0 ? { rooms: [], needs: memberNeeds } : await roomResults(context, dialect, jobs, draft);
  if (selection.rooms) leaveBehind(selection.rooms, selection.chosen, draft, pos.position);
  for (const roomId of selection.chosen.keys()) if (draft.room(roomId).told.events !== undefined) draft.tell(roomId, "events", LIVE);
  const chosen = [...selection.chosen.values()];
  // One after the other: each changes the draft of where its stream is.
  const accountData = await tellAccountData(context, extensions.accountData, chosen, draft);
  const receipts = await tellReceipts(context, extensions.receipts, chosen, rooms, draft);
  const typing = await tellTyping(context, extensions.typing, chosen, draft);
  const deviceNews = (toDevice?.events.length ?? 0) + (e2ee?.changed.length ?? 0) + (e2ee?.left.length ?? 0);
  const roomNews = rooms.filter((room) => !room.quiet).length + accountData.global.length + accountData.rooms.size + receipts.size + typing.size;
  return {
    answer: { lists: selection.lists, rooms, toDevice, e2ee, accountData, receipts, typing },
    news: deviceNews + roomNews > 0,
    needs,
    position: context.to,
    e2ee: e2ee ? head.deviceSeq : pos.e2ee,
    upstream: head.upstreamSince,
    state: draft.done(),
    complete: head.complete,
    updated: jobs.filter((job) => job.kind === "delta" && job.changed).length,
    idleMs: head.idleMs,
  };
}

/** A request for extensions alone costs no look at the rooms. */
async function select(
  context: SlidingContext,
  cache: AccountRoomsCache,
  head: ConnectionHead,
  { state }: SlidingQuestion,
  body: SlidingBody,
): Promise<Selection & { rooms: Awaited<ReturnType<AccountRoomsCache["read"]>> | null }> {
  if (body.lists.size === 0 && body.subscriptions.size === 0 && state.rooms.size === 0) return { lists: new Map(), chosen: new Map(), rooms: null };
  const { tx, account, ignored, from } = context;
  const rooms = await cache.read(tx, account, head);
  return { ...(await selectRooms({ tx, account, rooms, ignored, state, from }, body)), rooms };
}

async function jobsOf(
  context: SlidingContext,
  { chosen }: Selection,
  draft: StateDraft,
  state: ConnectionState,
): Promise<{ jobs: RoomJob[]; needs: Need[] }> {
  const asking = askingForAllMembers(chosen);
  const known = await roomsWithAllMembers(context.tx, context.account, asking);
  const needs = asking.filter((roomId) => !known.has(roomId)).map((roomId): Need => ({ kind: "members", roomId }));
  return {
    jobs: roomJobs(chosen, draft, state.configs, context.from, known),
    needs: needs.filter((need) => !context.tried.has(needKey(need))),
  };
}
