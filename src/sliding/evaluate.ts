/** One evaluation of a sliding sync request: what there is to tell now, read in one moment of the database. */

import { traced } from "../base/tracing.ts";
import { type ConnectionHead, readConnectionHeads } from "../store/connections.ts";
import { readTx, type Sql, type Tx } from "../store/db.ts";
import { roomsWithAllMembers } from "../store/members.ts";
import { needKey, type Need } from "../sync/fetch-need.ts";
import type { AccountNo, DeviceNo, Position, RoomId } from "../wire/ids.ts";
import { type AccountView, type AccountViews, changedAfter, type ChangedRooms } from "./account-view.ts";
import { type ConnectionState, LIVE, StateDraft } from "./connection-state.ts";
import type { SlidingContext } from "./context.ts";
import { noteGlobal, type RoomAccountData, tellGlobal, tellRoomAccountData } from "./extensions/account-data.ts";
import {
  asFarAsKnown,
  e2eeResult,
  type E2eeResult,
  emptyQueue,
  readLists,
  readQueue,
  type ToDeviceResult,
  unchangedLists,
} from "./extensions/device.ts";
import { readChangedReceipts, type ReceiptsResult, tellReceipts } from "./extensions/receipts.ts";
import { scopedRooms } from "./extensions/scoped.ts";
import { tellTyping, type TypingResult } from "./extensions/typing.ts";
import type { InitialRoomsCache } from "./initial-rooms.ts";
import type { Place } from "./pos.ts";
import { boundSubscriptions, withinBounds } from "./remembered-bounds.ts";
import type { Dialect, SlidingBody } from "./request.ts";
import { askingForAllMembers, leaveBehind, type RoomJob, roomJobs } from "./room-jobs.ts";
import type { RoomResult } from "./room-content.ts";
import { roomResults } from "./room-results.ts";
import { type ListResult, type Selection, selectRooms } from "./select.ts";
import { mergeSticky } from "./sticky.ts";

export type SlidingQuestion = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly pos: Place;
  readonly state: ConnectionState;
  readonly body: SlidingBody;
  readonly dialect: Dialect;
  /** Whatever the account, see PagingContext. */
  readonly ownTokens: boolean;
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
  /** Of which events' ages are counted, ms since the epoch. */
  readonly now: number;
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
  /** Where everything stood. */
  readonly head: ConnectionHead;
};

/**
 * - gone: the device has no such connection.
 * - ahead: the position stands for more than is stored: our database was restored (D26).
 */
export type NoOutcome = "gone" | "ahead";

/** What is remembered from one evaluation to the next. */
export type SlidingCaches = { readonly views: AccountViews; readonly initialRooms: InitialRoomsCache };

/** @param head of just now, where it is known: then what is in memory may be enough. */
export function evaluateSliding(
  sql: Sql,
  caches: SlidingCaches,
  question: SlidingQuestion,
  now: number,
  head: ConnectionHead | null = null,
): Promise<SlidingOutcome | NoOutcome> {
  return traced("evaluate", () => look(sql, caches, question, now, head));
}

async function look(
  sql: Sql,
  caches: SlidingCaches,
  question: SlidingQuestion,
  now: number,
  head: ConnectionHead | null,
): Promise<SlidingOutcome | NoOutcome> {
  const remembered = head && openFromMemory(caches, question, head);
  if (remembered) {
    try {
      return await evaluate(NO_DATABASE, caches, question, remembered, now);
    } catch (error) {
      if (!(error instanceof NotInMemory)) throw error;
    }
  }
  return readTx(sql, async (tx) => {
    const opened = await open(tx, caches, question);
    return opened ? evaluate(tx, caches, question, opened, now) : "gone";
  });
}

class NotInMemory extends Error {
  override name = "NotInMemory";
}

/** In place of a transaction where memory is tried first. */
const NO_DATABASE = (() => {
  throw new NotInMemory();
}) as unknown as Tx;

async function evaluate(tx: Tx, caches: SlidingCaches, question: SlidingQuestion, opened: Opened, now: number): Promise<SlidingOutcome | NoOutcome> {
  const { account, device, pos, state, tried } = question;
  const { head } = opened;
  if (head.position < pos.position || head.deviceSeq < pos.e2ee) return "ahead";
  const draft = new StateDraft(state);
  const body = mergeSticky(boundSubscriptions(question.body, state), state, draft);
  const context: SlidingContext = {
    tx,
    recent: opened.view?.recent ?? [],
    account,
    device,
    userId: head.userId,
    from: pos.position,
    to: head.position,
    live: pos.upstream !== "",
    upstreamSince: head.upstreamSince,
    ownTokens: question.ownTokens || head.pagesHere,
    ignored: head.ignored,
    tried,
    now,
  };
  return tell(context, caches, opened, { ...question, body }, draft);
}

/** What an evaluation knows before it looks at single rooms. */
type Opened = {
  readonly head: ConnectionHead;
  /** null: the request is about the device alone, and costs no look at the rooms. */
  readonly view: AccountView | null;
  readonly toDevice: ToDeviceResult | null;
  readonly e2ee: E2eeResult | null;
};

function isAboutTheAccount({ body: { lists, subscriptions, extensions }, state }: SlidingQuestion): boolean {
  return lists.size > 0 || subscriptions.size > 0 || state.rooms.size > 0 || extensions.accountData !== undefined;
}

/** No device lists at first: a client then takes all it knows for outdated. */
function listsFrom({ body, state, pos }: SlidingQuestion): number | null {
  return body.extensions.e2ee && state.e2ee ? pos.e2ee : null;
}

/** undefined: something has to be read. */
function openFromMemory({ views }: SlidingCaches, question: SlidingQuestion, head: ConnectionHead): Opened | undefined {
  const { extensions } = question.body;
  const view = isAboutTheAccount(question) ? views.at(question.account, head) : null;
  const toDevice = emptyQueue(asFarAsKnown(extensions.toDevice, head), head);
  const lists = unchangedLists(listsFrom(question), head);
  if (view === undefined || toDevice === undefined || lists === undefined) return undefined;
  return { head, view, toDevice, e2ee: e2eeResult(extensions.e2ee === true, lists, head) };
}

/** All that can be read without knowing what else there is: one round trip. null: the connection is gone. */
async function open(tx: Tx, { views }: SlidingCaches, question: SlidingQuestion): Promise<Opened | null> {
  const { account, device, pos } = question;
  const { extensions } = question.body;
  const heading = readConnectionHeads(tx, [{ device, at: pos.session === null ? null : { ...pos, session: pos.session } }]).then(
    ([one]) => one ?? null,
  );
  const [head, view, queue, lists] = await Promise.all([
    heading,
    isAboutTheAccount(question) ? views.read(tx, account, heading, pos.position) : null,
    readQueue({ tx, device }, extensions.toDevice),
    readLists({ tx, device }, listsFrom(question)),
  ]);
  if (!head) return null;
  const known = asFarAsKnown(extensions.toDevice, head);
  const toDevice = known === extensions.toDevice ? queue : await readQueue({ tx, device }, known);
  return { head, view, toDevice, e2ee: e2eeResult(extensions.e2ee === true, lists, head) };
}

const UNCHANGED: ChangedRooms = { typing: new Set(), receipts: new Set(), accountData: new Set() };

async function tell(
  context: SlidingContext,
  { initialRooms }: SlidingCaches,
  { head, view, toDevice, e2ee }: Opened,
  { pos, dialect, body, state }: SlidingQuestion,
  draft: StateDraft,
): Promise<SlidingOutcome> {
  const { tx, account, ignored, from } = context;
  const { extensions } = body;
  const changed = view && from > 0 ? changedAfter(view, from) : UNCHANGED;
  if (!changed) throw new NotInMemory();
  const { lists, chosen } = view
    ? await selectRooms({ tx, account, rooms: view, ignored, state, from, joinedRooms: head.joinedRooms }, body)
    : NOTHING_SELECTED;
  const { jobs, needs: memberNeeds } = await jobsOf(context, chosen, draft, state);
  const choices = [...chosen.values()];
  const joined = choices.filter(({ room }) => room.membership === "join");
  const scoped = {
    accountData: scopedRooms("accountData", extensions.accountData, choices, draft, changed.accountData, from),
    receipts: scopedRooms("receipts", extensions.receipts, joined, draft, changed.receipts, from),
    typing: scopedRooms("typing", extensions.typing, joined, draft, changed.typing, from),
  };
  const global = tellGlobal(view, from, extensions.accountData, state.global);
  noteGlobal(context, extensions.accountData, draft);
  if (e2ee) draft.setE2ee(true);
  const [{ rooms, needs }, changedReceipts] = await Promise.all([
    memberNeeds.length > 0 ? { rooms: [], needs: memberNeeds } : roomResults(context, initialRooms, dialect, jobs, draft),
    readChangedReceipts(context, scoped.receipts),
  ]);
  const receipts = view
    ? await tellReceipts(context, view, extensions.receipts, joined, scoped.receipts, rooms, changedReceipts)
    : new Map<RoomId, string>();
  const roomData = view ? tellRoomAccountData(view, scoped.accountData) : new Map();
  const typing = view ? tellTyping(view, scoped.typing) : new Map();
  // Only what was told before can be left behind, and only by what has happened since.
  if (view && from > 0 && from < view.position) leaveBehind(view, chosen, draft, from);
  for (const roomId of chosen.keys()) if (draft.room(roomId).told.events !== undefined) draft.tell(roomId, "events", LIVE);
  const after = draft.done();
  const deviceNews = (toDevice?.events.length ?? 0) + (e2ee?.changed.length ?? 0) + (e2ee?.left.length ?? 0);
  const roomNews = rooms.filter(({ content }) => !content.quiet).length + global.length + roomData.size + receipts.size + typing.size;
  return {
    answer: { lists, rooms, toDevice, e2ee, accountData: { global, rooms: roomData }, receipts, typing, now: context.now },
    news: deviceNews + roomNews > 0,
    needs,
    position: context.to,
    e2ee: e2ee ? head.deviceSeq : pos.e2ee,
    upstream: head.upstreamSince,
    state: after === state ? state : withinBounds(after, chosen),
    complete: head.complete,
    updated: jobs.filter((job) => job.kind === "delta" && job.changed).length,
    head,
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
    jobs: await roomJobs(chosen, draft, state.configs, context.from, known),
    needs: needs.filter((need) => !context.tried.has(needKey(need))),
  };
}
