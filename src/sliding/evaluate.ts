/**
 * One evaluation of a sliding sync request, at one moment of the database: decide what the answer holds, read it, and note what the connection
 * knows afterwards.
 */

import { traced } from "../base/tracing.ts";
import type { ConnectionHead } from "../store/connections.ts";
import { readTx, type Sql, type Tx } from "../store/db.ts";
import { roomsWithAllMembers } from "../store/members.ts";
import { needKey, type Need } from "../sync/fetch-need.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import { type AccountViews, changedAfter, type ChangedRooms, movedAfter } from "./account-view.ts";
import { type ConnectionState, LIVE, StateDraft } from "./connection-state.ts";
import type { SlidingContext } from "./context.ts";
import { noteGlobal, type RoomAccountData, newGlobalData, newRoomData } from "./extensions/account-data.ts";
import type { E2eeResult, ToDeviceResult } from "./extensions/device.ts";
import { newPresence, notePresence, type PresenceResult } from "./extensions/presence.ts";
import { noteProfiles, planProfiles, profilesOf, type ProfilesPlan, type ProfilesResult } from "./extensions/profiles.ts";
import { readChangedReceipts, type ReceiptsResult, receiptsOf } from "./extensions/receipts.ts";
import { noteScoped, type Scoped, scopedRooms, type ScopeQuestion } from "./extensions/scoped.ts";
import { notePassedOver, planSticky, readSticky, stickyOf, type StickyPlan, type StickyResult, stickyRooms } from "./extensions/sticky-events.ts";
import { newThreads, noteThreads, type ThreadsAnswer, type ThreadsResult } from "./extensions/threads.ts";
import { typedIn, typingOf, type TypingResult } from "./extensions/typing.ts";
import type { InitialRoomsCache } from "./initial-rooms.ts";
import { type Overview, overviewFromMemory, readOverview } from "./overview.ts";
import type { SlidingQuestion } from "./question.ts";
import { boundSubscriptions, withinBounds } from "./remembered-bounds.ts";
import { pageOf } from "./page.ts";
import type { Dialect, SlidingBody } from "./request.ts";
import { askingForAllMembers, type JobsQuestion, leaveBehind, type RoomJob, roomJobs } from "./room-jobs.ts";
import type { RoomResult } from "./room-content.ts";
import { noteRooms, type RoomResults, roomResults } from "./room-results.ts";
import { type ChosenRoom, type ListResult, type Selection, selectRooms } from "./select.ts";
import { noteSticky, withSticky } from "./sticky.ts";

/** The content of an answer, independent of the dialect. */
export type SlidingAnswer = {
  readonly lists: ReadonlyMap<string, ListResult>;
  readonly rooms: readonly RoomResult[];
  /** null or empty if the extension is not enabled or has nothing to send. */
  readonly toDevice: ToDeviceResult | null;
  readonly e2ee: E2eeResult | null;
  readonly accountData: { readonly global: readonly string[]; readonly rooms: RoomAccountData };
  readonly receipts: ReceiptsResult;
  readonly typing: TypingResult;
  readonly profiles: ProfilesResult;
  readonly stickyEvents: StickyResult | null;
  /** Events as JSON texts. */
  readonly presence: readonly string[];
  readonly threads: ThreadsAnswer;
  /** MSC4525: how many rooms with something new are not in the answer. */
  readonly pending: number;
  /** The time that ages of events refer to, ms since the epoch. */
  readonly now: number;
};

export type SlidingOutcome = {
  readonly answer: SlidingAnswer;
  /** Ends a wait. */
  readonly news: boolean;
  /** To be fetched before the question can be answered in full. */
  readonly needs: readonly Need[];
  /** The next position. Its state has no number yet. */
  readonly position: Position;
  readonly e2ee: number;
  readonly upstream: string;
  readonly state: ConnectionState;
  /** False: the account's first v2 response is not stored yet. */
  readonly complete: boolean;
  /** Rooms that are subscribed to and not stored. */
  readonly unknown: readonly RoomId[];
  /** The head that the evaluation saw. */
  readonly head: ConnectionHead;
};

/**
 * - gone: the device has no such connection.
 * - ahead: the position is ahead of what is stored, because our database was restored (D26).
 */
export type NoOutcome = "gone" | "ahead";

/** Caches that outlive an evaluation. */
export type SlidingCaches = { readonly views: AccountViews; readonly initialRooms: InitialRoomsCache };

/** @param head the current head, if it is known: memory may then be enough */
export function evaluateSliding(
  sql: Sql,
  caches: SlidingCaches,
  question: SlidingQuestion,
  now: number,
  head: ConnectionHead | null = null,
): Promise<SlidingOutcome | NoOutcome> {
  return traced("evaluate", async () => {
    const remembered = head && overviewFromMemory(caches.views, question, head);
    const outcome = remembered ? await evaluate(null, caches, question, remembered, now) : null;
    if (outcome !== null) return outcome;
    return readTx(sql, async (tx) => {
      const overview = await readOverview(tx, caches.views, question);
      if (!overview) return "gone";
      const stored = await evaluate(tx, caches, question, overview, now);
      if (stored === null) throw new Error("A transaction did not hold what an evaluation needs");
      return stored;
    });
  });
}

/** @param tx null: only memory is read. @returns null if memory is not enough; never with a transaction */
async function evaluate(
  tx: Tx | null,
  caches: SlidingCaches,
  question: SlidingQuestion,
  overview: Overview,
  now: number,
): Promise<SlidingOutcome | NoOutcome | null> {
  const { account, device, pos, state, tried } = question;
  const { head } = overview;
  if (head.position < pos.position || head.deviceSeq < pos.e2ee) return "ahead";
  const context: SlidingContext = {
    tx,
    recent: overview.view?.recent ?? [],
    account,
    device,
    userId: head.userId,
    from: pos.position,
    to: head.position,
    live: pos.upstream !== "",
    upstreamSince: head.upstreamSince,
    presenceIsCurrent: head.presenceIsCurrent,
    ownTokens: question.ownTokens || head.pagesHere,
    ignored: head.ignored,
    retention: head.retention,
    askBundles: (events) => question.askBundles(account, events),
    tried,
    now,
  };
  const bounded = boundSubscriptions(question.body, state);
  const body = withSticky(bounded, state);
  const decision = await decide(context, overview, body, state);
  const contents = decision && (await read(context, caches, overview, decision, question.dialect));
  if (!contents) return null;
  return {
    ...outcomeOf(context, overview, question, decision, contents),
    state: stateAfter(context, overview, { body: bounded, state }, decision, contents),
  };
}

/** What the answer will hold, decided before rows of single rooms are read. */
type Decision = {
  readonly extensions: SlidingBody["extensions"];
  readonly lists: Selection["lists"];
  readonly chosen: Selection["chosen"];
  readonly unknown: Selection["unknown"];
  readonly jobs: readonly RoomJob[];
  /** To be fetched first: no rooms are read then. */
  readonly needs: readonly Need[];
  /** See SlidingAnswer. */
  readonly pending: number;
  readonly scoped: Readonly<Record<ScopedStream, Scoped>>;
  /** Global account data, as JSON texts. */
  readonly global: readonly string[];
  readonly presence: PresenceResult;
  readonly threads: ThreadsResult;
  readonly profiles: ProfilesPlan | null;
  readonly sticky: StickyPlan | null;
};

const SCOPED_STREAMS = ["accountData", "receipts", "typing"] as const;
type ScopedStream = (typeof SCOPED_STREAMS)[number];

const UNCHANGED: ChangedRooms = { typing: new Set(), receipts: new Set(), accountData: new Set() };
const NOTHING_SELECTED: Selection = { lists: new Map(), chosen: new Map(), unknown: [], matched: new Set() };

/** null: memory is not enough. */
async function decide(context: SlidingContext, { head, view }: Overview, body: SlidingBody, state: ConnectionState): Promise<Decision | null> {
  const { tx, account, ignored, from, now } = context;
  const { extensions } = body;
  const changed = view && from > 0 ? changedAfter(view, from) : UNCHANGED;
  if (!changed) return null;
  const sought: ReadonlySet<RoomId> = view && extensions.stickyEvents ? stickyRooms(view) : new Set();
  const asking = view && { tx, account, rooms: view, ignored, state, from, joinedRooms: head.joinedRooms, sought };
  const selection = asking ? await selectRooms(asking, body) : NOTHING_SELECTED;
  if (!selection) return null;
  const { lists, unknown, matched } = selection;
  const asked = await jobsOf(context, selection.chosen, { state, horizon: head.horizon });
  const presence = await newPresence(context, view, extensions.presence, state.presence);
  const threads = await newThreads(context, view, extensions.threads, state.threads);
  if (!asked || !presence || !threads) return null;
  const { jobs, chosen, pending } = body.paging
    ? pageOf(selection.chosen, asked.jobs, body.paging)
    : { jobs: asked.jobs, chosen: selection.chosen, pending: 0 };
  const needs = pending > 0 ? asked.needs.filter(({ roomId }) => chosen.has(roomId)) : asked.needs;
  const choices = [...chosen.values()];
  const joined = choices.filter(({ room }) => room.membership === "join");
  const scopedTo = (stream: ScopedStream, of: readonly ChosenRoom[], more: Pick<ScopeQuestion, "outdated" | "afresh"> = {}) =>
    scopedRooms(stream, { scope: extensions[stream], chosen: of, state, changed: changed[stream], from, ...more });
  return {
    extensions,
    lists,
    chosen,
    unknown,
    jobs,
    needs,
    pending,
    scoped: {
      accountData: scopedTo("accountData", choices),
      receipts: scopedTo("receipts", joined, { outdated: view ? movedAfter(view, from) : [], afresh: true }),
      typing: scopedTo("typing", joined, { outdated: view ? typedIn(view) : [] }),
    },
    global: newGlobalData(view, from, extensions.accountData, state.global),
    presence,
    threads,
    profiles: view && planProfiles({ asked: extensions.profiles, view, chosen: joined, state, from, me: head.userId }),
    sticky: view && planSticky({ asked: extensions.stickyEvents, view, matched, entering: enteringRooms(jobs, from), state, now }),
  };
}

/** Rooms that are sent in full after the connection's first answer. */
function enteringRooms(jobs: readonly RoomJob[], from: number): Set<RoomId> {
  return new Set(from === 0 ? [] : jobs.filter((job) => job.kind === "initial").map((job) => job.roomId));
}

/** null: memory is not enough. */
async function jobsOf(
  context: SlidingContext,
  chosen: Selection["chosen"],
  { state, horizon }: Pick<JobsQuestion, "horizon"> & { readonly state: ConnectionState },
): Promise<{ readonly jobs: RoomJob[]; readonly needs: Need[] } | null> {
  const { tx, account, tried, from } = context;
  const asking = await askingForAllMembers(chosen);
  if (asking.length > 0 && !tx) return null;
  const allMembers = tx ? await roomsWithAllMembers(tx, account, asking) : new Set<RoomId>();
  const needs = asking.filter((roomId) => !allMembers.has(roomId)).map((roomId): Need => ({ kind: "members", roomId }));
  return { jobs: await roomJobs(chosen, { state, from, horizon, allMembers }), needs: needs.filter((need) => !tried.has(needKey(need))) };
}

/** The rows of what was decided, as they are sent. */
type Contents = {
  readonly results: RoomResults;
  readonly roomData: RoomAccountData;
  readonly receipts: ReceiptsResult;
  readonly typing: TypingResult;
  readonly profiles: ProfilesResult;
  readonly sticky: StickyResult | null;
};

/** null: memory is not enough. */
async function read(
  context: SlidingContext,
  { initialRooms }: SlidingCaches,
  { view }: Overview,
  { jobs, needs, scoped, profiles, sticky }: Decision,
  dialect: Dialect,
): Promise<Contents | null> {
  const [results, changed, events] = await Promise.all([
    needs.length > 0 ? { rooms: [], notes: [], needs } : roomResults(context, initialRooms, dialect, jobs),
    readChangedReceipts(context, scoped.receipts),
    readSticky(context, sticky),
  ]);
  if (!results || !changed || !events) return null;
  if (!view) return { results, roomData: new Map(), receipts: new Map(), typing: new Map(), profiles: new Map(), sticky: null };
  const [receipts, ofUsers] = await Promise.all([
    receiptsOf(context, { view, scoped: scoped.receipts, results: results.rooms, changed }),
    profilesOf(context, view, profiles, results.rooms),
  ]);
  if (!receipts || !ofUsers) return null;
  const parts = { roomData: newRoomData(view, scoped.accountData), typing: typingOf(view, scoped.typing) };
  return { results, receipts, profiles: ofUsers, ...parts, sticky: stickyOf(sticky, events, results.rooms) };
}

/** What the connection knows after the answer; the state is changed here only. `body`: the request without subscriptions of earlier ones. */
function stateAfter(
  { from, to }: SlidingContext,
  { view, e2ee }: Overview,
  { body, state }: Pick<SlidingQuestion, "body" | "state">,
  { extensions, chosen, scoped, presence, threads, profiles, sticky }: Decision,
  { results }: Contents,
): ConnectionState {
  const draft = new StateDraft(state);
  noteSticky(body, state, draft);
  noteProfiles(profiles, { from, to }, draft);
  for (const stream of SCOPED_STREAMS) noteScoped(stream, scoped[stream], from, draft);
  noteGlobal({ from, to }, extensions.accountData, draft);
  notePresence(presence, draft);
  noteThreads(threads, draft);
  if (e2ee) draft.setE2ee(true);
  notePassedOver(sticky, draft);
  noteRooms(results.notes, draft);
  // Only rooms that were sent before can fall behind, and only if something has changed since.
  if (view && from > 0 && from < view.position) leaveBehind(view, chosen, draft, from);
  for (const roomId of chosen.keys()) if (draft.room(roomId).sent.events !== undefined) draft.setSent(roomId, "events", LIVE);
  const after = draft.done();
  return after === state ? state : withinBounds(after, chosen);
}

function outcomeOf(
  context: SlidingContext,
  { head, toDevice, e2ee }: Overview,
  { pos, state }: SlidingQuestion,
  { lists, global, presence: { events: presence }, threads, unknown, pending }: Decision,
  { results, roomData, receipts, typing, profiles, sticky }: Contents,
): Omit<SlidingOutcome, "state"> {
  const { rooms, needs } = results;
  const deviceNews = (toDevice?.events.length ?? 0) + (e2ee?.changed.length ?? 0) + (e2ee?.left.length ?? 0);
  const others = global.length + presence.length + threads.changes.length + profiles.size + (sticky?.rooms.size ?? 0);
  const roomNews = rooms.filter(({ content }) => !content.quiet).length + roomData.size + receipts.size + typing.size;
  return {
    answer: {
      lists,
      rooms,
      toDevice,
      e2ee,
      accountData: { global, rooms: roomData },
      receipts,
      typing,
      presence,
      threads,
      profiles,
      stickyEvents: sticky,
      pending,
      now: context.now,
    },
    news: deviceNews + roomNews + others + pending > 0,
    needs,
    position: context.to,
    // Changes while the extension is disabled are sent once it is enabled again, but not those from before it was enabled first.
    e2ee: e2ee || !state.e2ee ? head.deviceSeq : pos.e2ee,
    upstream: head.upstreamSince,
    complete: head.complete,
    unknown,
    head,
  };
}
