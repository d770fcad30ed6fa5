/** A room as the room stream tells it (S4): initial, or what is new. */

import { type EventRow, rowText } from "../store/event-row.ts";
import { factsAt } from "../store/facts.ts";
import { allMembersAt, membersAt, type MemberRow } from "../store/members.ts";
import { readOlder } from "../store/older.ts";
import type { RoomFacts, RoomFactsRow } from "../store/room-facts.ts";
import { stateAt, stateChanged, type StateRow, type StateSelector } from "../store/state.ts";
import { findOrdinals, readTimelines, type Timeline, type TimelineRow } from "../store/timeline.ts";
import type { RoomId } from "../wire/ids.ts";
import { readPage } from "./room-members.ts";
import type { RoomParams } from "./room.ts";
import { type Context, type Need, needKey } from "./stream.ts";

export type RoomTask = { readonly roomId: RoomId; readonly step: "start" | "delta" | "lost" };
export type RoomViews = { readonly rooms: readonly { roomId: RoomId; text: string }[]; readonly needs: readonly Need[] };

const COUNTS = ["notification_count", "highlight_count", "joined_count", "invited_count"] as const satisfies readonly (keyof RoomFacts)[];

/** What of one room's history is told. */
type Window = {
  readonly task: RoomTask;
  readonly events: readonly EventRow[];
  readonly limited: boolean;
  readonly prevBatch: string;
  /** The state before `events` is the state at this ordinal; null: it is `stateBefore`, from fetched history. */
  readonly startsAt: number;
  readonly stateBefore: readonly StateRow[] | null;
  /** The id that the state stands before, where the client named it. */
  readonly stateBeforeId: string | undefined;
};

/** Tells rooms. Where the stored history does not reach as far as asked, `needs` says what to fetch, and nothing is told. */
export async function roomViews(context: Context, params: RoomParams, tasks: readonly RoomTask[]): Promise<RoomViews> {
  const starts = tasks.filter((task) => task.step === "start");
  const deltas = tasks.filter((task) => task.step !== "start");
  const ids = tasks.map((task) => task.roomId);
  const options = {
    to: context.to, limit: params.timelineLimit, ignored: context.ignored, filter: { types: params.types, notTypes: params.notTypes },
  };
  const [initial, since, now, before, earliest] = await Promise.all([
    readTimelines(context.tx, context.account, starts.map(({ roomId }) => ({ roomId, after: 0 })), options),
    readTimelines(context.tx, context.account, deltas.map(({ roomId }) => ({ roomId, after: context.from.position })), options),
    factsAt(context.tx, context.account, ids, context.to),
    factsAt(context.tx, context.account, ids, context.from.position),
    earliestOrdinals(context, params.earliest),
  ]);
  const needs: Need[] = [];
  const windows: Window[] = [];
  for (const task of tasks) {
    const timeline = (task.step === "start" ? initial : since).get(task.roomId);
    if (!timeline) continue;
    const window = task.step === "start" ? await initialWindow(context, params, task, timeline, earliest.get(task.roomId)) : plainWindow(context, task, timeline);
    if ("kind" in window) needs.push(window);
    else windows.push(window);
  }
  if (needs.length > 0) return { rooms: [], needs };
  const states = await windowStates(context, windows, params.state);
  const members = await windowMembers(context, params, windows);
  const rooms: { roomId: RoomId; text: string }[] = [];
  for (const window of windows) {
    const { roomId } = window.task;
    const text = compose(context, window, states.get(roomId) ?? [], members.get(roomId) ?? null, now.get(roomId), before.get(roomId));
    if (text !== null) rooms.push({ roomId, text });
  }
  return { rooms, needs };
}

async function initialWindow(
  context: Context, params: RoomParams, task: RoomTask, timeline: Timeline, earliest: number | undefined,
): Promise<Window | Need> {
  if (earliest !== undefined) return sinceEarliest(context, task, timeline, earliest, params.earliest);
  const missing = params.timelineLimit - timeline.events.length;
  if (!timeline.reachesStart || !timeline.limited || missing <= 0) return plainWindow(context, task, timeline);
  const older = await readOlder(context.tx, context.account, task.roomId, missing);
  const need: Need = { kind: "older", roomId: task.roomId, count: missing - older.events.length };
  const more = older.complete && older.prevBatch !== null;
  if (need.count > 0 && more && !context.tried.has(needKey(need))) return need;
  if (older.events.length === 0) return { ...plainWindow(context, task, timeline), limited: older.prevBatch !== null };
  return {
    task,
    events: [...older.events, ...timeline.events],
    limited: !older.complete || older.prevBatch !== null,
    prevBatch: (older.complete ? older.prevBatch : null) ?? timeline.prevBatch ?? context.upstreamSince,
    startsAt: startOf(timeline.events, context.to),
    stateBefore: older.stateBefore,
    stateBeforeId: undefined,
  };
}

/**
 * The client already has the events from `earliest` up to its `since`: they are not sent again, and state is the one before
 * them. Where more is new than the limit holds, what it has does not adjoin, and the answer is like any other.
 */
function sinceEarliest(context: Context, task: RoomTask, timeline: Timeline, earliest: number, ids: readonly string[]): Window {
  const fresh = timeline.events.filter((event) => event.ord > context.from.position);
  if (fresh.length === timeline.events.length && timeline.limited) return plainWindow(context, task, timeline);
  const named = timeline.events.find((event) => event.ord === earliest);
  return {
    ...plainWindow(context, task, timeline),
    events: fresh,
    limited: earliest > 0,
    prevBatch: timeline.prevBatch ?? context.upstreamSince,
    startsAt: earliest - 1,
    stateBeforeId: named?.event_id ?? ids[0],
  };
}

function plainWindow(context: Context, task: RoomTask, timeline: Timeline): Window {
  return {
    task, events: timeline.events, limited: timeline.limited, prevBatch: timeline.prevBatch ?? context.upstreamSince,
    startsAt: startOf(timeline.events, context.to), stateBefore: null, stateBeforeId: undefined,
  };
}

function startOf(events: readonly TimelineRow[], to: number): number {
  const [first] = events;
  return first ? first.ord - 1 : to;
}

/** Of the ids that the client named, the earliest that is in a room's timeline and not newer than its token. */
async function earliestOrdinals(context: Context, ids: readonly string[]): Promise<Map<RoomId, number>> {
  const found = await findOrdinals(context.tx, context.account, ids);
  const earliest = new Map<RoomId, number>();
  for (const row of found) {
    if (row.ord <= context.from.position && !earliest.has(row.room_id)) earliest.set(row.room_id, row.ord);
  }
  return earliest;
}

/**
 * State before each window's events (initial), or what changed of it (later), overlaid with state events of the window that
 * the timeline does not show (filtered out by type, or told by the homeserver as state only).
 */
async function windowStates(context: Context, windows: readonly Window[], selector: StateSelector): Promise<Map<RoomId, StateRow[]>> {
  const { tx, account, to } = context;
  const from = context.from.position;
  const initial = windows.filter((w) => w.task.step === "start" && !w.stateBefore);
  const later = windows.filter((w) => w.task.step !== "start");
  const [base, changed, within, members] = await Promise.all([
    stateAt(tx, account, initial.map((w) => ({ roomId: w.task.roomId, at: w.startsAt })), selector),
    stateChanged(tx, account, later.map((w) => ({ roomId: w.task.roomId, from, to: w.startsAt })), selector),
    stateChanged(tx, account, windows.map((w) => ({ roomId: w.task.roomId, from: Math.max(w.startsAt, w.task.step === "start" ? 0 : from), to })), selector),
    namedMembers(context, windows, selector),
  ]);
  const states = new Map<RoomId, StateRow[]>();
  for (const window of windows) {
    const { roomId } = window.task;
    const shown = new Set(window.events.map((event) => event.event_id));
    const fetched = (window.stateBefore ?? []).filter((row) => isSelected(row, selector));
    const rows = new Map<string, StateRow>();
    const all = [...fetched, ...base, ...changed, ...members, ...within.filter((row) => !shown.has(row.event_id))];
    for (const row of all) if (row.room_id === roomId) rows.set(`${row.type} ${row.state_key}`, row);
    states.set(roomId, [...rows.values()]);
  }
  return states;
}

/** `m.room.member` events that the `state` parameter names. */
async function namedMembers(context: Context, windows: readonly Window[], selector: StateSelector): Promise<MemberRow[]> {
  if (selector === "all") return [];
  const keys = selector.filter(([type]) => type === "m.room.member").map(([, key]) => key);
  if (keys.length === 0) return [];
  const targets = windows.map((w) => ({ roomId: w.task.roomId, at: w.startsAt, initial: w.task.step === "start" }));
  const rows = keys.includes("*")
    ? await allMembersAt(context.tx, context.account, targets)
    : await membersAt(context.tx, context.account, targets.flatMap((target) => keys.map((userId) => ({ ...target, userId }))));
  const initial = new Set(targets.filter((target) => target.initial).map((target) => target.roomId));
  return rows.filter((row) => initial.has(row.room_id) || row.from_ord > context.from.position);
}

function isSelected(row: StateRow, selector: StateSelector): boolean {
  return selector === "all" || selector.some(([type, key]) => (type === "*" || type === row.type) && (key === "*" || key === row.state_key));
}

/** The members that the senders of each window's events need, or with a limit the first page of all. */
async function windowMembers(context: Context, params: RoomParams, windows: readonly Window[]): Promise<Map<RoomId, string>> {
  const texts = new Map<RoomId, string>();
  const paged = (window: Window) => params.memberLimit > 0 && window.task.step === "start";
  for (const window of windows.filter(paged)) {
    const list = { membership: ["join", "invite"], limit: params.memberLimit, sort: params.memberSort };
    texts.set(window.task.roomId, (await readPage(context, list, window.task.roomId, context.to, null)).text);
  }
  const wanted = windows.filter((window) => !paged(window)).flatMap((window) =>
    [...new Set(window.events.map((event) => event.sender))].map((userId) => ({ roomId: window.task.roomId, userId })),
  );
  const starts = new Map(windows.map((window) => [window.task.roomId, window.startsAt]));
  const [atStart, atEnd] = await Promise.all([
    membersAt(context.tx, context.account, wanted.map((w) => ({ ...w, at: starts.get(w.roomId) ?? 0 }))),
    membersAt(context.tx, context.account, wanted.map((w) => ({ ...w, at: context.to }))),
  ]);
  for (const window of windows.filter((w) => !paged(w))) {
    const { roomId } = window.task;
    const shown = new Set(window.events.map((event) => event.event_id));
    const rows = new Map<string, MemberRow>();
    // A member whose first event we know is in the timeline has none before it.
    for (const row of atEnd) if (row.room_id === roomId && !shown.has(row.event_id)) rows.set(row.user_id, row);
    for (const row of atStart) if (row.room_id === roomId) rows.set(row.user_id, row);
    if (rows.size > 0 || window.task.step === "start") {
      texts.set(roomId, `{"events":[${[...rows.values()].map((row) => rowText(row, context.device, context.now)).join(",")}]}`);
    }
  }
  return texts;
}

function compose(
  context: Context, window: Window, state: readonly StateRow[], members: string | null,
  now: RoomFactsRow | undefined, before: RoomFactsRow | undefined,
): string | null {
  const initial = window.task.step === "start";
  const texts = (rows: readonly EventRow[]) => rows.map((row) => rowText(row, context.device, context.now)).join(",");
  const parts: string[] = [];
  if (initial) parts.push('"initial":true');
  if (initial || state.length > 0) {
    const named = window.stateBeforeId === undefined ? "" : `,"state_before":${JSON.stringify(window.stateBeforeId)}`;
    parts.push(`"state":{"events":[${texts(state)}]${named}}`);
  }
  if (members !== null) parts.push(`"members":${members}`);
  if (initial || window.events.length > 0 || window.limited) {
    const { limited, prevBatch } = window;
    parts.push(`"timeline":{"events":[${texts(window.events)}],"limited":${limited},"prev_batch":${JSON.stringify(prevBatch)}}`);
  }
  for (const key of now ? COUNTS : []) {
    if (initial || now?.facts[key] !== before?.facts[key]) parts.push(`"${key}":${now?.facts[key] ?? 0}`);
  }
  return parts.length > 0 ? `{${parts.join(",")}}` : null;
}
