/** Which part of a room's history the room stream sends, and the state before it (S4). */

import type { EventRow } from "../../store/event-row.ts";
import { factsAt } from "../../store/facts.ts";
import { findOlder, readOlder } from "../../store/older.ts";
import type { StateRow } from "../../store/state.ts";
import { findOrdinals, readTimelines, standingBefore, type Timeline, type TimelineRow, type TimelineWindow } from "../../store/timeline.ts";
import type { EventId, RoomId } from "../../wire/ids.ts";
import { indexKey } from "../../wire/index-key.ts";
import { historyOf, fallsShort } from "../../sync/history.ts";
import { sentSince } from "../../sync/message-expiry.ts";
import { prevBatchOf } from "../../sync/prev-batch.ts";
import type { RoomParams, RoomTask } from "./room-params.ts";
import { type Need, needKey } from "../../sync/fetch-need.ts";
import { type Context } from "./stream.ts";

/** The part of one room's history that is sent. */
export type Window = {
  readonly task: RoomTask;
  readonly events: readonly EventRow[];
  readonly limited: boolean;
  readonly prevBatch: string;
  /** The state before `events` is the state at this ordinal, unless `stateBefore` is present. */
  readonly startsAt: number;
  /** From fetched history. */
  readonly stateBefore: readonly StateRow[] | null;
  /** State that began after this ordinal and that the timeline does not show is sent as well. */
  readonly overlayFrom: number;
  /** The event that the state precedes, if the client named it. */
  readonly stateBeforeId: string | undefined;
};

/** An event that the client already has: in the timeline (`ord`), or the `nth` newest in fetched history. */
type Earliest = { readonly eventId: EventId; readonly place: { readonly ord: number } | { readonly nth: number } };

/** Windows of rooms. If the stored history falls short, `needs` says what to fetch; `late` are rooms for which a fetch is still running. */
export async function roomWindows(
  context: Context,
  params: RoomParams,
  tasks: readonly RoomTask[],
): Promise<{ readonly windows: readonly Window[]; readonly needs: readonly Need[]; readonly late: readonly RoomId[] }> {
  const starts = tasks.filter((task) => task.step === "start");
  const later = tasks.filter((task) => task.step !== "start");
  const earliest = starts.length > 0 ? await findEarliest(context, params.earliest) : new Map<RoomId, Earliest>();
  const following = [...later, ...starts.filter((task) => earliest.has(task.roomId))];
  const shown = await shownSince(context, tasks);
  const windowOf = (after: number) => (task: RoomTask) => ({ roomId: task.roomId, after, sentSince: shown.get(task.roomId) ?? null });
  const [initial, since] = await Promise.all([
    read(context, params, starts.map(windowOf(0))),
    read(context, params, following.map(windowOf(context.from.position))),
  ]);
  const windows: Window[] = [];
  const needs: Need[] = [];
  const late: RoomId[] = [];
  for (const task of tasks) {
    const fresh = since.get(task.roomId);
    const known = earliest.get(task.roomId);
    const full = initial.get(task.roomId);
    // If there are more new events than the limit, they don't join up with what the client has; answer as if it had nothing.
    if (task.step === "start" && known && fresh && !fresh.limited) windows.push(await windowSince(context, task, fresh, known));
    else if (task.step === "start" && full) {
      const window = await initialWindow(context, params, task, { ...full, sentSince: shown.get(task.roomId) ?? null });
      if (!("kind" in window)) windows.push(window);
      else if (context.late.has(needKey(window))) late.push(task.roomId);
      else needs.push(window);
    } else if (fresh) windows.push(plainWindow(context, task, fresh));
  }
  return { windows, needs, late };
}

/** See TimelineWindow.sentSince. */
async function shownSince(context: Context, tasks: readonly RoomTask[]): Promise<Map<RoomId, number | null>> {
  if (!context.retention) return new Map();
  const ids = tasks.map((task) => task.roomId);
  const facts = await factsAt(context.tx, context.account, ids, context.to);
  return new Map(ids.map((roomId) => [roomId, sentSince(context, roomId, facts.get(roomId)?.facts)]));
}

function read(context: Context, params: RoomParams, windows: Parameters<typeof readTimelines>[2]): Promise<Map<RoomId, Timeline>> {
  return readTimelines(context.tx, context.account, windows, {
    to: context.to,
    limit: params.timelineLimit,
    ignored: context.ignored,
    filter: { types: params.types, notTypes: params.notTypes },
  });
}

async function initialWindow(
  context: Context,
  params: RoomParams,
  task: RoomTask,
  timeline: Timeline & Pick<TimelineWindow, "sentSince">,
): Promise<Window | Need> {
  const plain = plainWindow(context, task, timeline);
  if (!fallsShort(timeline, params.timelineLimit)) return plain;
  const { history, need } = await historyOf(context.tx, context.account, task.roomId, timeline, {
    limit: params.timelineLimit,
    ignored: context.ignored,
    sentSince: timeline.sentSince,
    filter: { types: params.types, notTypes: params.notTypes },
  });
  if (need && (context.late.has(needKey(need)) || !context.tried.has(needKey(need)))) return need;
  const { events, limited, stateBefore } = history;
  return { ...plain, events, limited, prevBatch: prevBatchOf(context, task.roomId, history), stateBefore };
}

/** The client already has the events from `known` up to its `since`. They are not sent again, and the state is the one before them. */
async function windowSince(context: Context, task: RoomTask, fresh: Timeline, known: Earliest): Promise<Window> {
  const plain = plainWindow(context, task, fresh);
  const window = { ...plain, overlayFrom: context.from.position, stateBeforeId: known.eventId };
  if ("ord" in known.place) {
    const standing = await standingBefore(context.tx, context.account, task.roomId, known.place.ord);
    const prevBatch = prevBatchOf(context, task.roomId, { ...standing, events: [{ event_id: known.eventId }] });
    return { ...window, limited: standing.older, prevBatch, startsAt: known.place.ord - 1 };
  }
  const history = await readOlder(context.tx, context.account, task.roomId, { limit: known.place.nth, ignored: [], sentSince: null });
  return {
    ...window,
    limited: !history.complete || history.end !== null,
    prevBatch: prevBatchOf(context, task.roomId, {
      events: [{ event_id: known.eventId }],
      prevBatch: history.prevBatch ?? fresh.prevBatch,
      exact: history.exact,
    }),
    stateBefore: history.stateBefore,
  };
}

function plainWindow(context: Context, task: RoomTask, timeline: Timeline): Window {
  const startsAt = startOf(timeline.events, context.to);
  return {
    task,
    events: timeline.events,
    limited: timeline.limited,
    prevBatch: prevBatchOf(context, task.roomId, timeline),
    startsAt,
    stateBefore: null,
    overlayFrom: Math.max(startsAt, task.step === "start" ? 0 : context.from.position),
    stateBeforeId: undefined,
  };
}

function startOf(events: readonly TimelineRow[], to: number): number {
  const [first] = events;
  return first ? first.ord - 1 : to;
}

/** For each room, the earliest of the events that the client named and that were sent before its token. */
async function findEarliest(context: Context, ids: readonly string[]): Promise<Map<RoomId, Earliest>> {
  const earliest = new Map<RoomId, Earliest>();
  if (ids.length === 0 || context.from.position === 0) return earliest;
  const named = new Map(ids.map((id) => [indexKey(id), id]));
  const keys = [...named.keys()];
  const [older, timeline] = await Promise.all([findOlder(context.tx, context.account, keys), findOrdinals(context.tx, context.account, keys)]);
  const add = (room_id: RoomId, key: string, place: Earliest["place"]) => {
    if (!earliest.has(room_id)) earliest.set(room_id, { eventId: (named.get(key) ?? key) as EventId, place });
  };
  for (const { room_id, event_id, place } of older) add(room_id, event_id, { nth: place });
  for (const { room_id, event_id, ord } of timeline) {
    if (ord <= context.from.position) add(room_id, event_id, { ord });
  }
  return earliest;
}
