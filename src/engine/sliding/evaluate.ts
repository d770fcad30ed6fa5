/** One evaluation of a sliding sync request: what there is to tell now, read in one moment of the database. */

import { readConnectionHead } from "../../store/connections.ts";
import { readTx, type Sql } from "../../store/db.ts";
import { roomsWithChanges } from "../../store/ephemeral.ts";
import { roomsWithAllMembers } from "../../store/members.ts";
import { needKey, type Need } from "../../streams/stream.ts";
import type { AccountNo, DeviceNo, Position, RoomId } from "../../wire/ids.ts";
import type { AccountRoomsCache } from "./account-rooms.ts";
import { type ConnectionState, LIVE, StateDraft } from "./connection-state.ts";
import type { SlidingContext } from "./context.ts";
import { noteGlobal, readGlobal, type RoomAccountData, tellRoomAccountData } from "./extensions/account-data.ts";
import { type E2eeResult, readE2ee, readQueue, type ToDeviceResult } from "./extensions/device.ts";
import { readChangedReceipts, type ReceiptsResult, tellReceipts } from "./extensions/receipts.ts";
import { scopedRooms } from "./extensions/scoped.ts";
import { tellTyping, type TypingResult } from "./extensions/typing.ts";
import type { InitialRoomsCache } from "./initial-rooms.ts";
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
  readonly accountData: { readonly global: readonly string[]; readonly rooms: RoomAccountData };
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

/** What is remembered from one evaluation to the next. */
export type SlidingCaches = { readonly accountRooms: AccountRoomsCache; readonly initialRooms: InitialRoomsCache };

export function evaluateSliding(sql: Sql, caches: SlidingCaches, question: SlidingQuestion, now: number): Promise<SlidingOutcome | NoOutcome> {
  const { account, device, pos, state } = question;
  const draft = new StateDraft(state);
  const body = mergeSticky(question.body, state, draft);
  return readTx(sql, async (tx) => {
    const opening = { tx, account, device, from: pos.position };
    const opened = await open(opening, caches.accountRooms, question, body);
    if (!opened) return "gone";
    const { head } = opened;
    if (head.position < pos.position || head.deviceSeq < pos.e2ee) return "ahead";
    const context: SlidingContext = {
      ...opening,
      initialRooms: caches.initialRooms,
      userId: head.userId,
      to: head.position,
      live: pos.upstream !== "",
      upstreamSince: head.upstreamSince,
      ignored: head.ignored,
      tried: question.tried,
      now,
    };
    return tell(context, opened, { ...question, body }, draft);
  });
}

type Opened = NonNullable<Awaited<ReturnType<typeof open>>>;

/** All that can be read without knowing what else there is: one round trip. null: the connection is gone. */
async function open(
  opening: Pick<SlidingContext, "tx" | "account" | "device" | "from">,
  cache: AccountRoomsCache,
  { pos, state }: SlidingQuestion,
  { lists, subscriptions, extensions }: SlidingBody,
) {
  const { tx, account, device, from } = opening;
  const heading = readConnectionHead(tx, device, pos.session);
  // A request for extensions alone costs no look at the rooms.
  const isAboutRooms = lists.size > 0 || subscriptions.size > 0 || state.rooms.size > 0;
  const [head, rooms, changed, global, queue, e2ee] = await Promise.all([
    heading,
    isAboutRooms ? cache.read(tx, account, heading) : null,
    from > 0 && isAboutRooms ? roomsWithChanges(tx, account, from) : UNCHANGED,
    readGlobal(opening, extensions.accountData, state.global),
    readQueue(opening, extensions.toDevice),
    // No device lists at first: a client then takes all it knows for outdated.
    readE2ee(opening, extensions.e2ee === true, state.e2ee ? pos.e2ee : null),
  ]);
  if (!head) return null;
  const asked = extensions.toDevice;
  // What acknowledges more than there is was from before our database was restored, and is worth nothing.
  const toDevice = asked && asked.since > head.deviceSeq ? await readQueue(opening, { ...asked, since: 0 }) : queue;
  return { head, rooms, changed, global, toDevice, e2ee };
}

const UNCHANGED = { typing: new Set<RoomId>(), receipts: new Set<RoomId>(), account_data: new Set<RoomId>() };

async function tell(
  context: SlidingContext,
  { head, rooms: all, changed, global, toDevice, e2ee }: Opened,
  { pos, dialect, body, state }: SlidingQuestion,
  draft: StateDraft,
): Promise<SlidingOutcome> {
  const { tx, account, ignored, from } = context;
  const { extensions } = body;
  const { lists, chosen } = all ? await selectRooms({ tx, account, rooms: all, ignored, state, from }, body) : NOTHING_SELECTED;
  const { jobs, needs: memberNeeds } = await jobsOf(context, chosen, draft, state);
  const choices = [...chosen.values()];
  const joined = choices.filter(({ room }) => room.membership === "join");
  const scoped = {
    accountData: scopedRooms("accountData", extensions.accountData, choices, draft, changed.account_data, from),
    receipts: scopedRooms("receipts", extensions.receipts, joined, draft, changed.receipts, from),
    typing: scopedRooms("typing", extensions.typing, joined, draft, changed.typing, from),
  };
  noteGlobal(context, extensions.accountData, draft);
  if (e2ee) draft.setE2ee(true);
  const [{ rooms, needs }, roomData, changedReceipts, typing] = await Promise.all([
    memberNeeds.length > 0 ? { rooms: [], needs: memberNeeds } : roomResults(context, dialect, jobs, draft),
    tellRoomAccountData(context, scoped.accountData),
    readChangedReceipts(context, scoped.receipts),
    tellTyping(context, scoped.typing),
  ]);
  const receipts = await tellReceipts(context, extensions.receipts, joined, scoped.receipts, rooms, changedReceipts);
  if (all) leaveBehind(all, chosen, draft, from);
  for (const roomId of chosen.keys()) if (draft.room(roomId).told.events !== undefined) draft.tell(roomId, "events", LIVE);
  const deviceNews = (toDevice?.events.length ?? 0) + (e2ee?.changed.length ?? 0) + (e2ee?.left.length ?? 0);
  const roomNews = rooms.filter((room) => !room.quiet).length + global.length + roomData.size + receipts.size + typing.size;
  return {
    answer: { lists, rooms, toDevice, e2ee, accountData: { global, rooms: roomData }, receipts, typing },
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

const NOTHING_SELECTED: Selection = { lists: new Map(), chosen: new Map() };

async function jobsOf(
  context: SlidingContext,
  chosen: Selection["chosen"],
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
