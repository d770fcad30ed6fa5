/** A room as the room stream tells it (S4): initial, or what is new. */

import { type EventRow, rowText } from "../store/event-row.ts";
import { factsAt } from "../store/facts.ts";
import { allMembersAt, membersAt, type MemberRow } from "../store/members.ts";
import type { RoomFacts, RoomFactsRow } from "../store/room-facts.ts";
import { stateAt, stateChanged, type StateRow, type StateSelector } from "../store/state.ts";
import type { RoomId } from "../wire/ids.ts";
import { readPage } from "./room-members.ts";
import type { RoomParams } from "./room.ts";
import { type RoomTask, roomWindows, type Window } from "./room-window.ts";
import type { Context, Need } from "./stream.ts";

export type RoomViews = { readonly rooms: readonly { roomId: RoomId; text: string }[]; readonly needs: readonly Need[] };

const COUNTS = ["notification_count", "highlight_count", "joined_count", "invited_count"] as const satisfies readonly (keyof RoomFacts)[];

/** Tells rooms. Where the stored history does not reach as far as asked, `needs` says what to fetch, and nothing is told. */
export async function roomViews(context: Context, params: RoomParams, tasks: readonly RoomTask[]): Promise<RoomViews> {
  const ids = tasks.map((task) => task.roomId);
  const { windows, needs } = await roomWindows(context, params, tasks);
  if (needs.length > 0) return { rooms: [], needs };
  const [now, before] = await Promise.all([
    factsAt(context.tx, context.account, ids, context.to),
    factsAt(context.tx, context.account, ids, context.from.position),
  ]);
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
    stateChanged(tx, account, windows.map((w) => ({ roomId: w.task.roomId, from: w.overlayFrom, to })), selector),
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
