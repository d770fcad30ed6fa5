/** What changed in a room list since a token: entries, rooms that enter or leave, notifications of the rest (S5). */

import { factsAt, joinedFactsAt, recency, roomsWithNewFacts } from "../store/facts.ts";
import type { RoomFactsRow } from "../store/room-facts.ts";
import { roomsWithStateChanges } from "../store/state.ts";
import { readTimelines, roomsWithEvents, type Timeline } from "../store/timeline.ts";
import { rowText } from "../store/event-row.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import { type EntryRoom, roomEntries } from "./room-entry.ts";
import { type ListMemory, type ListParams, listAnswer, negotiated, trackedAfter } from "./room-list-answer.ts";
import { matchesFilters } from "./room-list-match.ts";
import { spaceChildren } from "./space-children.ts";
import type { Context, Evaluation } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

/** At most so many events of a room outside the active set are told as its notifications. */
const NOTIFICATION_EVENTS = 100;

/** What happens to one changed room. */
type Fate = "entry" | "enter" | "leave" | "notify";

export async function listDelta(context: Context, params: ListParams, memory: ListMemory): Promise<Evaluation> {
  const from = context.from.position;
  const late = new Set(context.pageRooms.filter((room) => room.position < from).map((room) => room.roomId));
  const sent = new Set([...memory.sent, ...context.pageRooms.map((room) => room.roomId)]);
  const [childrenBefore, childrenNow] = params.spaces
    ? await Promise.all([spaceChildren(context, params.spaces, from), spaceChildren(context, params.spaces, context.to)])
    : [undefined, undefined];
  const changed = new Set([
    ...(await changedRooms(context, params)),
    ...late,
    ...[...(childrenNow?.keys() ?? [])].filter((roomId) => !childrenBefore?.has(roomId)),
    ...[...(childrenBefore?.keys() ?? [])].filter((roomId) => !childrenNow?.has(roomId)),
  ]);
  const ids = [...changed];
  const [now, before, last] = await Promise.all([
    factsAt(context.tx, context.account, ids, context.to),
    factsAt(context.tx, context.account, ids, from),
    recency(context.tx, context.account),
  ]);
  const matched = (row: RoomFactsRow | undefined, children: ReadonlyMap<RoomId, unknown> | undefined) =>
    row?.membership === "join" && params.rooms && matchesFilters(row.facts, params.filters) && (!children || children.has(row.room_id));

  const fates = new Map<RoomId, Fate>();
  for (const roomId of ids) {
    const matchesNow = matched(now.get(roomId), childrenNow);
    if (sent.has(roomId)) fates.set(roomId, !matchesNow ? "leave" : late.has(roomId) ? "enter" : "entry");
    // With spaces the active set is all their children, whether a page sent them yet or not.
    else if (matchesNow && (params.spaces !== null || !matched(before.get(roomId), childrenBefore))) fates.set(roomId, "enter");
    else if (params.trackNotifications && now.get(roomId)?.membership === "join") fates.set(roomId, "notify");
  }

  const entryRooms: EntryRoom[] = [];
  for (const [roomId, fate] of fates) {
    const row = now.get(roomId);
    const whole = fate === "enter" || !before.has(roomId);
    // A room that only stopped matching is named in `removed`; one that the user left ends with the leave event.
    if (!row || fate === "notify" || (fate === "leave" && row.membership === "join")) continue;
    if (fate === "leave" && whole) continue;
    entryRooms.push({
      now: row, before: whole ? undefined : before.get(roomId), from: whole ? (0 as Position) : from, recency: last.get(roomId)?.lastTs ?? 0,
    });
  }
  const byRecency = entryRooms.sort((a, b) => b.recency - a.recency);
  const entries = await roomEntries(context, byRecency, context.to, params);
  const removed = [...fates].filter(([, fate]) => fate === "leave").map(([roomId]) => roomId);
  const quiet = [...fates].filter(([, fate]) => fate === "notify").map(([roomId]) => roomId);
  const notifications = await notificationEntries(context, quiet, now, before);

  const after = [...sent].filter((roomId) => fates.get(roomId) !== "leave");
  for (const [roomId, fate] of fates) if (fate === "enter" && !sent.has(roomId)) after.push(roomId);
  const nextMemory = { sent: after.sort() } satisfies ListMemory;
  // Rooms that a page sent start now in the streams that follow this one.
  const tracked = trackedAfter(memory.sent, after);
  if (entries.length + removed.length + notifications.length === 0) return { ...NO_NEWS, memory: nextMemory, tracked };
  const count = await countMatching(context, params, childrenNow);
  return { text: listAnswer({ entries, count, p: negotiated(params), removed, notifications }), news: true, memory: nextMemory, tracked };
}

async function changedRooms(context: Context, params: ListParams): Promise<RoomId[]> {
  const { tx, account, from, to } = context;
  const [events, facts, state] = await Promise.all([
    roomsWithEvents(tx, account, from.position, to),
    roomsWithNewFacts(tx, account, from.position, to),
    params.stateEvents.length > 0 ? roomsWithStateChanges(tx, account, from.position, to) : [],
  ]);
  return [...events.keys(), ...facts, ...state];
}

async function countMatching(context: Context, params: ListParams, children: ReadonlyMap<RoomId, unknown> | undefined): Promise<number> {
  if (!params.rooms) return 0;
  const joined = await joinedFactsAt(context.tx, context.account, context.to);
  return joined.filter((row) => matchesFilters(row.facts, params.filters) && (!children || children.has(row.room_id))).length;
}

/**
 * Rooms outside the active set: changed counts, the events that notified, and all events of encrypted rooms, since only the
 * client can tell what they are.
 */
async function notificationEntries(
  context: Context, rooms: readonly RoomId[], now: ReadonlyMap<RoomId, RoomFactsRow>, before: ReadonlyMap<RoomId, RoomFactsRow>,
): Promise<string[]> {
  const windows = rooms.map((roomId) => ({ roomId, after: context.from.position }));
  const timelines = await readTimelines(context.tx, context.account, windows, {
    to: context.to, limit: NOTIFICATION_EVENTS, ignored: context.ignored,
  });
  const entries: string[] = [];
  for (const roomId of rooms) {
    const row = now.get(roomId);
    if (!row) continue;
    const { is_encrypted: encrypted, notification_count, highlight_count } = row.facts;
    const was = before.get(roomId)?.facts;
    const counted = notification_count !== (was?.notification_count ?? 0) || highlight_count !== (was?.highlight_count ?? 0);
    const events = toldEvents(timelines.get(roomId), encrypted);
    if (!counted && events.length === 0) continue;
    const texts = events.map((event) => rowText(event, context.device, context.now)).join(",");
    const list = events.length > 0 ? `,"${encrypted ? "timeline" : "events"}":[${texts}]` : "";
    entries.push(
      `{"room_id":${JSON.stringify(roomId)},"notification_count":${notification_count},"highlight_count":${highlight_count}${list}}`,
    );
  }
  return entries;
}

function toldEvents(timeline: Timeline | undefined, encrypted: boolean): Timeline["events"] {
  const events = timeline?.events ?? [];
  return encrypted ? events : events.filter((event) => event.notify);
}
