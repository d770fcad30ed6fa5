/** Rooms as an answer sends them, independent of the dialect (MSC4186, "RoomResult"). */

import { Slices } from "../base/slices.ts";
import type { EventRow } from "../store/event-row.ts";
import type { RoomFacts } from "../store/room-facts.ts";
import type { StateRow } from "../store/state.ts";
import { prevBatchOf } from "../sync/prev-batch.ts";
import type { Need } from "../sync/fetch-need.ts";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import { isSticky } from "../wire/event.ts";
import { memberTexts } from "../wire/json-scan.ts";
import { LIVE, MAYBE, type StateDraft, STRIPPED } from "./connection-state.ts";
import type { SlidingContext } from "./context.ts";
import { type InitialRoomsCache, isCacheable } from "./initial-rooms.ts";
import { type LazyMembers, lazyMembers } from "./lazy-members.ts";
import type { Dialect } from "./request.ts";
import { matcherOf, remembered, type RequiredState } from "./required-state.ts";
import type { RoomContent, RoomFields, RoomResult, StateStub } from "./room-content.ts";
import type { RoomRows, ReadTimeline } from "./reading.ts";
import type { RoomJob } from "./room-jobs.ts";
import { readRooms } from "./room-reading.ts";

const MEMBER = "m.room.member";

/** What a connection knows of a room after an answer. */
export type RoomNote = {
  readonly roomId: RoomId;
  /** See SentRoom. */
  readonly limit: number;
  readonly config: RequiredState | typeof STRIPPED;
  readonly lazy: readonly UserId[];
};

/** If something must be fetched first, `needs` says what, and there is nothing else. */
export type RoomResults = { readonly rooms: readonly RoomResult[]; readonly notes: readonly RoomNote[]; readonly needs: readonly Need[] };

/** The rooms to send, and what the connection knows of them afterwards. null: memory is not enough. */
export async function roomResults(
  context: SlidingContext,
  initialRooms: InitialRoomsCache,
  dialect: Dialect,
  jobs: readonly RoomJob[],
): Promise<RoomResults | null> {
  const cached = new Map(
    jobs.flatMap((job) => {
      const room = initialRooms.get(context, job);
      return room ? [[job.roomId, room] as const] : [];
    }),
  );
  const others = cached.size === jobs.length ? [] : jobs.filter((job) => !cached.has(job.roomId));
  const read = others.length > 0 ? await readAll(context, dialect, others) : NOTHING_READ;
  if (!read) return null;
  const { reading } = read;
  if (reading.needs.length > 0) return { rooms: [], notes: [], needs: reading.needs };
  const slices = new Slices();
  const rooms: RoomResult[] = [];
  const notes: RoomNote[] = [];
  for (const job of jobs) {
    if (slices.isDue) await slices.pause();
    const known = cached.get(job.roomId);
    const lazy = read.lazy.get(job.roomId);
    const content = known ? known.content : contentOf(context, dialect, job, reading, lazy);
    if (content) rooms.push(resultOf(context, job, content));
    notes.push(known ? initialNote(job, known.lazy) : noteOf(job, reading, lazy));
    if (!known && content && lazy) initialRooms.set(context, job, { content, lazy: lazy.users });
  }
  return { rooms, notes, needs: [] };
}

type ReadAll = { readonly reading: RoomRows; readonly lazy: ReadonlyMap<RoomId, LazyMembers> };

async function readAll(context: SlidingContext, dialect: Dialect, jobs: readonly RoomJob[]): Promise<ReadAll | null> {
  const reading = await readRooms(context, jobs, dialect.stubs);
  if (!reading) return null;
  const lazy = reading.needs.length > 0 ? NOTHING_READ.lazy : await lazyMembers(context, jobs, reading);
  return lazy && { reading, lazy };
}

const NOTHING_READ: ReadAll = {
  reading: {
    stripped: new Map(),
    timelines: new Map(),
    factsBefore: new Map(),
    state: new Map(),
    changed: new Map(),
    ended: new Map(),
    members: new Map(),
    membersChanged: new Map(),
    needs: [],
  },
  lazy: new Map(),
};

function resultOf(context: SlidingContext, job: RoomJob, content: RoomContent): RoomResult {
  const { roomId, choice } = job;
  const { timeline } = content;
  return {
    roomId,
    content,
    // How long an event is sticky differs from answer to answer.
    shared: isCacheable(job) && timeline?.events.some((row) => isSticky(row, context.now)) !== true,
    lists: choice.lists,
    ...(timeline && { paging: { prevBatch: prevBatchOf(context, roomId, timeline), live: liveOf(context, job, timeline.events) } }),
  };
}

/** null: there is nothing new. */
function contentOf(context: SlidingContext, dialect: Dialect, job: RoomJob, reading: RoomRows, lazy: LazyMembers | undefined): RoomContent | null {
  return lazy ? fullContent(context, dialect, job, reading, lazy) : strippedContent(job, reading);
}

function strippedContent(job: RoomJob, reading: RoomRows): RoomContent {
  const body = reading.stripped.get(job.roomId);
  // As text, because the nesting of a homeserver's JSON is not bounded (N5).
  const events = body === undefined ? undefined : memberTexts(body).get("events");
  return {
    ...common(job),
    // matrix-js-sdk skips unknown rooms that are not initial.
    initial: (job.record.sent.events ?? MAYBE) === MAYBE,
    bumpStamp: job.choice.room.bumpOrd,
    stripped: events?.startsWith("[") === true ? events : "[]",
    requiredState: [],
    stubs: [],
  };
}

function fullContent(context: SlidingContext, dialect: Dialect, job: RoomJob, reading: RoomRows, lazy: LazyMembers): RoomContent | null {
  const { roomId } = job;
  const { room, config } = job.choice;
  const timeline = reading.timelines.get(roomId) ?? NO_EVENTS;
  const state = stateRows(context, job, reading, lazy);
  const stubs = stubsOf(job, reading);
  const fields = job.kind === "initial" ? initialFields(room.facts) : changedFields(dialect, job, reading);
  const bumped = room.bumpOrd > job.sent;
  const sent = timeline.events.length + state.length + stubs.length;
  const quiet = job.kind === "delta" && fields === null && sent === 0 && !timeline.limited && !hasJustLeft(job);
  if (quiet && !bumped) return null;
  return {
    ...common(job),
    ...(room.membership === "join" ? { ...fields, counts: countsOf(room.facts) } : withoutCounts(fields)),
    ...((job.kind === "initial" || timeline.limited || bumped) && { bumpStamp: room.bumpOrd }),
    ...(quiet && { quiet }),
    requiredState: [...state, ...ownMembership(context, job, reading)],
    stubs,
    ...(config.timelineLimit > 0 && { timeline }),
  };
}

const NO_EVENTS: ReadTimeline = { events: [], limited: false, prevBatch: null, exact: false };

/** Deleted state that is asked for, and deleted members that may have been loaded lazily: not all of those are remembered. */
function stubsOf({ roomId, matcher }: RoomJob, reading: RoomRows): StateStub[] {
  const isLazy = (type: string) => matcher.state.lazy && type === MEMBER;
  return (reading.ended.get(roomId) ?? []).filter(({ type, state_key }) => matcher.matches(type, state_key) || isLazy(type)).map(({ stub }) => stub);
}

/** How many of the events have just happened. In a room that was joined meanwhile, events from before that have not. */
function liveOf(context: SlidingContext, { choice, kind }: RoomJob, events: ReadTimeline["events"]): number {
  if (!context.live) return 0;
  const fresh = events.filter((row) => (row.ord ?? 0) > context.from);
  if (kind !== "initial" || choice.room.membershipOrd <= context.from) return fresh.length;
  const isOwn = (row: EventRow) => row.type === MEMBER && row.state_key === context.userId;
  const membership = (row: EventRow) => (JSON.parse(row.body) as { content?: { membership?: unknown } }).content?.membership;
  const away = fresh.findLastIndex((row) => isOwn(row) && membership(row) !== "join");
  const joined = fresh.findIndex((row, index) => index > away && isOwn(row));
  return fresh.length - Math.max(0, joined);
}

function common({ choice: { room }, kind, expanded }: RoomJob) {
  return {
    membership: room.membership,
    everJoined: room.everJoined,
    initial: kind === "initial",
    expanded: kind === "delta" && expanded,
  };
}

function initialFields({ sources, heroes, is_dm, joined_count, invited_count }: RoomFacts): RoomFields {
  return {
    ...(sources.name !== undefined && { name: sources.name }),
    ...(sources.avatar !== undefined && { avatar: sources.avatar }),
    ...(sources.name === undefined && { heroes: heroes ?? [] }),
    isDm: is_dm,
    joinedCount: joined_count,
    invitedCount: invited_count,
  };
}

/** null: none of them changed. */
function changedFields(dialect: Dialect, job: RoomJob, reading: RoomRows): RoomFields | null {
  if (!reading.factsBefore.has(job.roomId)) return null;
  const { facts } = job.choice.room;
  // If it is unknown what was sent, it counts as changed.
  const before = reading.factsBefore.get(job.roomId);
  const differs = (pick: (facts: RoomFacts) => unknown) => !before || JSON.stringify(pick(before)) !== JSON.stringify(pick(facts));
  const named = differs((of) => of.sources.name);
  const counted = differs((of) => [of.joined_count, of.invited_count]);
  const changed: RoomFields = {
    ...(named && { name: facts.sources.name ?? null }),
    ...(differs((of) => of.sources.avatar) && { avatar: facts.sources.avatar ?? null }),
    ...(facts.sources.name === undefined && (named || counted || differs((of) => of.heroes)) && { heroes: facts.heroes ?? [] }),
    ...(differs((of) => of.is_dm) && { isDm: facts.is_dm }),
    ...(counted && { joinedCount: facts.joined_count, invitedCount: facts.invited_count }),
  };
  const noted = dialect.counts && differs(countsOf);
  return noted || Object.keys(changed).length > 0 ? changed : null;
}

/** Member counts of a room that the user is not in are unknown. */
function withoutCounts(fields: RoomFields | null): RoomFields {
  const { joinedCount: _joined, invitedCount: _invited, ...rest } = fields ?? {};
  return rest;
}

function countsOf(facts: RoomFacts) {
  return { notifications: facts.notification_count, highlights: facts.highlight_count };
}

/** The state to send, without duplicates: by type, then key, with lazy members last. */
function stateRows(context: SlidingContext, job: RoomJob, reading: RoomRows, lazy: LazyMembers): StateRow[] {
  const { roomId, matcher, kind } = job;
  const known = matcherOf(job.known);
  const rows = new Map<string, StateRow>();
  const add = (row: StateRow) => void rows.set(`${row.type} ${row.state_key}`, row);
  // The user's membership in a room that was left is sent by ownMembership.
  const isOwn = (row: StateRow) => job.choice.room.membership !== "join" && row.type === MEMBER && row.state_key === context.userId;
  for (const row of [...(reading.state.get(roomId) ?? []), ...(reading.members.get(roomId) ?? [])]) {
    const [type, key] = [row.type, row.state_key ?? ""];
    if (matcher.matches(type, key) && (kind === "initial" || !known.matches(type, key) || row.from_ord > job.sent)) add(row);
  }
  for (const row of [...(reading.changed.get(roomId) ?? []), ...(reading.membersChanged.get(roomId) ?? [])]) {
    if (matcher.matches(row.type, row.state_key ?? "")) add(row);
  }
  const named = [...rows.values()]
    .filter((row) => !isOwn(row))
    .sort((a, b) => compareText(a.type, b.type) || compareText(a.state_key ?? "", b.state_key ?? ""));
  return [...named, ...lazy.rows.filter((row) => !isOwn(row) && !rows.has(`${row.type} ${row.state_key}`))];
}

function hasJustLeft({ choice, kind, sent }: RoomJob): boolean {
  return choice.room.membership !== "join" && (kind === "initial" || choice.room.membershipOrd > sent);
}

/**
 * A client takes a room for joined unless it is sent the user's own member event that says otherwise, with every update of the room. If the
 * homeserver did not send how the user left, an event is made up, with an id that no homeserver uses.
 */
function ownMembership(context: SlidingContext, { choice, roomId }: RoomJob, reading: RoomRows): EventRow[] {
  const { membership, membershipOrd } = choice.room;
  if (membership === "join") return [];
  const me = context.userId;
  const row = reading.members.get(roomId)?.find((member) => member.user_id === me && member.membership === membership);
  if (row) return [row];
  const event_id = `$syncv3-${membership}-${membershipOrd}` as EventId;
  const body = JSON.stringify({ type: MEMBER, state_key: me, sender: me, event_id, origin_server_ts: context.now, content: { membership } });
  return [{ room_id: roomId, event_id, type: MEMBER, state_key: me, sender: me, body, unsigned: null, age_ts: null }];
}

/** Notes in `draft` that rooms are sent. */
export function noteRooms(notes: readonly RoomNote[], draft: StateDraft): void {
  for (const { roomId, limit, config, lazy } of notes) {
    const sent = { ...draft.room(roomId).sent, events: LIVE };
    draft.put(roomId, { sent, limit, config: config === STRIPPED ? STRIPPED : draft.config(config), lazy });
  }
}

function noteOf(job: RoomJob, reading: RoomRows, lazy: LazyMembers | undefined): RoomNote {
  const { roomId, record, kind, matcher } = job;
  if (kind === "stripped") return { roomId, limit: 0, config: STRIPPED, lazy: [] };
  const asked = job.choice.config.timelineLimit;
  const limited = reading.timelines.get(roomId)?.limited === true;
  // Without a timeline the client misses events, so that later ones would not join up with what it has.
  const lacks = limited || (asked === 0 && job.choice.room.activeOrd > job.sent);
  // The limit is lowered only if the client lacks something; otherwise it still has what it had.
  const limit = kind === "initial" || record.config === STRIPPED || job.expanded || (lacks && asked < record.limit) ? asked : record.limit;
  const missed = [...(reading.changed.get(roomId) ?? []), ...(reading.membersChanged.get(roomId) ?? [])]
    .map((row) => ({ type: row.type, key: row.state_key ?? "" }))
    .filter(({ type, key }) => !matcher.matches(type, key));
  const config = kind === "initial" ? matcher.state : remembered(job.known, matcher.state, missed, limited);
  return { roomId, limit, config, lazy: lazy?.users ?? [] };
}

/** For a room that is sent in full. */
function initialNote({ roomId, choice, matcher }: RoomJob, lazy: readonly UserId[]): RoomNote {
  return { roomId, limit: choice.config.timelineLimit, config: matcher.state, lazy };
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
