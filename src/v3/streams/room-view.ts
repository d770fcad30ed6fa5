/** A room as the room stream sends it (S4): in full, or only what is new. */

import { Slices } from "../../base/slices.ts";
import { withBundles } from "../../store/bundles.ts";
import { factsAt } from "../../store/facts.ts";
import { allMembersAt, membersAt, membersChanged, type MemberRow, someMembersAt } from "../../store/members.ts";
import type { RoomFacts } from "../../store/room-facts.ts";
import { withTransactions } from "../../store/sent-events.ts";
import { stateAt, stateChanged, type StateRow, type StateSelector } from "../../store/state.ts";
import type { RoomId } from "../../wire/ids.ts";
import { COUNTS, type MembersAnswer, type RoomAnswer } from "./answers.ts";
import { readPage } from "./room-members.ts";
import type { RoomParams, RoomTask } from "./room-params.ts";
import { roomWindows, type Window } from "./room-window.ts";
import type { Need } from "../../sync/fetch-need.ts";
import type { Context } from "./stream.ts";

export type RoomViews = {
  readonly rooms: ReadonlyMap<RoomId, RoomAnswer>;
  readonly needs: readonly Need[];
  /** Rooms that are left out, since what they need is still being fetched (D24). */
  readonly late: readonly RoomId[];
};

/** The rooms to send. If the stored history falls short, `needs` says what to fetch, and no room is sent. */
export async function roomViews(context: Context, params: RoomParams, tasks: readonly RoomTask[]): Promise<RoomViews> {
  const ids = tasks.map((task) => task.roomId);
  const { windows: stored, needs, late } = await roomWindows(context, params, tasks);
  if (needs.length > 0) return { rooms: new Map(), needs, late };
  const windows = await complete(context, params, stored);
  const [now, before, states, members] = await Promise.all([
    factsAt(context.tx, context.account, ids, context.to),
    factsAt(context.tx, context.account, ids, context.from.position),
    windowStates(context, windows, params.state),
    windowMembers(context, params, windows),
  ]);
  const slices = new Slices();
  const rooms = new Map<RoomId, RoomAnswer>();
  for (const window of windows) {
    if (slices.isDue) await slices.pause();
    const { roomId } = window.task;
    const counts = countsOf(window, now.get(roomId)?.facts, before.get(roomId)?.facts);
    const room = compose(window, states.get(roomId) ?? [], members.get(roomId), counts);
    if (room) rooms.set(roomId, room);
  }
  return { rooms, needs, late };
}

/** The windows with what is bundled with their events, and the device's transaction ids. */
async function complete(context: Context, { types, notTypes }: RoomParams, stored: readonly Window[]): Promise<Window[]> {
  const byRoom = new Map(stored.map((window) => [window.task.roomId, window]));
  const filtered = types !== undefined || notTypes !== undefined;
  const bundled = await withBundles(context.tx, context, byRoom, { filtered, outdated: context.askBundles });
  return [...(await withTransactions(context.tx, context, bundled)).values()];
}

/**
 * State before each window's events (initial) or what changed of it (later), overlaid with state events of the window that the timeline does not
 * show, because they were filtered out or sent by the homeserver as state only.
 */
async function windowStates(context: Context, windows: readonly Window[], selector: StateSelector): Promise<Map<RoomId, StateRow[]>> {
  const { tx, account, to } = context;
  const from = context.from.position;
  const initial = windows.filter((w) => w.task.step === "start" && !w.stateBefore).map((w) => ({ roomId: w.task.roomId, at: w.startsAt }));
  const later = windows.filter((w) => w.task.step !== "start").map((w) => ({ roomId: w.task.roomId, from, to: w.startsAt }));
  const overlay = windows.map((w) => ({ roomId: w.task.roomId, from: w.overlayFrom, to }));
  const [base, changed, within, members] = await Promise.all([
    stateAt(tx, account, initial, selector),
    stateChanged(tx, account, later, selector),
    stateChanged(tx, account, overlay, selector),
    namedMembers(context, windows, selector),
  ]);
  const stored = Map.groupBy([...base, ...changed, ...members], (row) => row.room_id);
  const overlaid = Map.groupBy(within, (row) => row.room_id);
  const isSelected = selectedBy(selector);
  const slices = new Slices();
  const states = new Map<RoomId, StateRow[]>();
  for (const window of windows) {
    if (slices.isDue) await slices.pause();
    const { roomId } = window.task;
    const fetched = (window.stateBefore ?? []).filter((row) => row.room_id === roomId && isSelected(row));
    states.set(roomId, overlaidState(window, [...fetched, ...(stored.get(roomId) ?? [])], overlaid.get(roomId) ?? []));
  }
  return states;
}

/** One event for each type and key. */
function overlaidState({ events }: Window, base: readonly StateRow[], overlay: readonly StateRow[]): StateRow[] {
  const shown = new Set(events.map((event) => event.event_id));
  const over = overlay.filter((row) => !shown.has(row.event_id));
  return [...new Map([...base, ...over].map((row) => [`${row.type} ${row.state_key}`, row])).values()];
}

/** Whether the `state` parameter names every member of a room; then its full member list must be known. */
export function namesAllMembers(selector: StateSelector): boolean {
  return memberKeys(selector).includes("*");
}

function memberKeys(selector: StateSelector): string[] {
  return selector === "all" ? [] : selector.filter(([type]) => type === "m.room.member" || type === "*").map(([, key]) => key);
}

/** `m.room.member` events that the `state` parameter names: as they were before each window, or those that changed. */
async function namedMembers(context: Context, windows: readonly Window[], selector: StateSelector): Promise<MemberRow[]> {
  const keys = memberKeys(selector);
  if (keys.length === 0) return [];
  const membersOf = (at: (window: Window) => number) => {
    const targets = windows.map((window) => ({ roomId: window.task.roomId, at: at(window) }));
    return keys.includes("*") ? allMembersAt(context.tx, context.account, targets) : someMembersAt(context.tx, context.account, targets, keys);
  };
  const [atStart, atEnd] = await Promise.all([membersOf((window) => window.startsAt), membersOf(() => context.to)]);
  const initial = new Set(windows.filter((window) => window.task.step === "start").map((window) => window.task.roomId));
  const known = new Set(atStart.map((row) => `${row.room_id} ${row.user_id}`));
  // Members that were learned late had joined earlier.
  const late = atEnd.filter((row) => row.learned && initial.has(row.room_id) && !known.has(`${row.room_id} ${row.user_id}`));
  return [...atStart.filter((row) => initial.has(row.room_id) || row.from_ord > context.from.position), ...late];
}

function selectedBy(selector: StateSelector): (row: StateRow) => boolean {
  if (selector === "all") return () => true;
  const pairs = new Set(selector.map(([type, key]) => JSON.stringify([type, key])));
  const has = (type: string, key: string | null) => pairs.has(JSON.stringify([type, key]));
  return ({ type, state_key }) => has(type, state_key) || has(type, "*") || has("*", state_key) || has("*", "*");
}

/** The members that each window needs, or if there is a limit, the first page of all members. */
async function windowMembers(context: Context, params: RoomParams, windows: readonly Window[]): Promise<Map<RoomId, MembersAnswer>> {
  const members = new Map<RoomId, MembersAnswer>();
  const paged = (window: Window) => params.memberLimit > 0 && window.task.step === "start";
  for (const window of windows.filter(paged)) {
    const list = { membership: ["join", "invite"], limit: params.memberLimit, sort: params.memberSort };
    members.set(window.task.roomId, await readPage(context, list, window.task.roomId, context.to, null));
  }
  const single = windows.filter((window) => !paged(window));
  const [needed, hidden] = await Promise.all([neededMembers(context, single), hiddenMembers(context, params, single)]);
  const found = Map.groupBy([...hidden, ...needed], (row) => row.room_id);
  for (const window of single) {
    const { roomId } = window.task;
    const rows = new Map((found.get(roomId) ?? []).map((row) => [row.user_id, row]));
    if (rows.size > 0 || window.task.step === "start") members.set(roomId, { events: [...rows.values()] });
  }
  return members;
}

/** Members as they were before each window: the senders of its events. If the room was left, also the user as of now (D18). */
async function neededMembers(context: Context, windows: readonly Window[]): Promise<MemberRow[]> {
  const senders = (at: (window: Window) => number) =>
    windows.flatMap((window) =>
      [...new Set(window.events.map((event) => event.sender))].map((userId) => ({ roomId: window.task.roomId, userId, at: at(window) })),
    );
  const lost = windows
    .filter((window) => window.task.step === "lost")
    .map(({ task }) => ({ roomId: task.roomId, userId: context.userId, at: context.to }));
  const [atStart, atEnd, own] = await Promise.all([
    membersAt(
      context.tx,
      context.account,
      senders((window) => window.startsAt),
    ),
    membersAt(
      context.tx,
      context.account,
      senders(() => context.to),
    ),
    membersAt(context.tx, context.account, lost),
  ]);
  const shown = new Set(windows.flatMap((window) => window.events.map((event) => event.event_id)));
  const unseen = (row: MemberRow) => !shown.has(row.event_id);
  // A member whose first known event is in the timeline has none before it.
  return [...atEnd.filter(unseen), ...atStart, ...own.filter((row) => unseen(row) && row.membership !== "join")];
}

/** Members that changed, if a filter removes their events from the timeline: they are sent beside it, as other state is sent in `state`. */
async function hiddenMembers(context: Context, params: RoomParams, windows: readonly Window[]): Promise<MemberRow[]> {
  if (params.types === undefined && params.notTypes === undefined) return [];
  const later = windows.filter((window) => window.task.step !== "start").map((window) => window.task.roomId);
  const shown = new Set(windows.flatMap((window) => window.events.map((event) => event.event_id)));
  const changed = await membersChanged(context.tx, context.account, later, context.from.position, context.to);
  return changed.filter((row) => !shown.has(row.event_id));
}

/** All counts of a room that starts, otherwise those that changed. */
function countsOf({ task }: Window, now: RoomFacts | undefined, before: RoomFacts | undefined): RoomAnswer["counts"] {
  if (!now) return [];
  const initial = task.step === "start";
  return COUNTS.filter((key) => initial || now[key] !== before?.[key]).map((key) => [key, now[key]]);
}

/** null: there is nothing to send. */
function compose(
  { task, events, limited, prevBatch, stateBeforeId }: Window,
  state: readonly StateRow[],
  members: MembersAnswer | undefined,
  counts: RoomAnswer["counts"],
): RoomAnswer | null {
  const initial = task.step === "start";
  const hasTimeline = initial || events.length > 0 || limited;
  const hasState = initial || state.length > 0;
  if (!hasTimeline && !hasState && !members && counts.length === 0) return null;
  return {
    initial,
    ...(hasState && { state: { events: state, before: stateBeforeId } }),
    ...(members && { members }),
    ...(hasTimeline && { timeline: { events, limited, prevBatch } }),
    counts,
  };
}
