/** What changed in a room list since a token: entries, rooms that enter or leave, notifications of other rooms (S5). */

import { filterInSlices, Slices } from "../../base/slices.ts";
import { factsAt, membershipOver, type RoomNow, roomsNow, roomsWithNewFacts } from "../../store/facts.ts";
import type { RoomFactsRow } from "../../store/room-facts.ts";
import { roomsWithStateChanges } from "../../store/state.ts";
import { sentSince } from "../../sync/message-expiry.ts";
import { withTransactions } from "../../store/sent-events.ts";
import { readTimelines, roomsWithEvents, type Timeline } from "../../store/timeline.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import type { Notification } from "./answers.ts";
import { joinedRooms, UNKNOWN } from "./joined-rooms.ts";
import { type EntryRoom, roomEntries } from "./room-entry.ts";
import { type ListParams, negotiated, trackedAfter } from "./room-list-answer.ts";
import { type ListMatch, listMatch } from "./room-list-match.ts";
import { sortRooms } from "./room-list-sort.ts";
import { type SpaceChildren, spaceChildren } from "../../sync/space-children.ts";
import type { Context, Evaluation, Memory } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

/** The most events that are sent as notifications of one room outside the active set. */
const NOTIFICATION_EVENTS = 100;

/** What happens to a changed room. */
type Fate = "entry" | "enter" | "leave" | "notify";

/** A changed room as it was when it was last sent. */
type Base = {
  readonly from: Position;
  readonly facts: RoomFactsRow | undefined;
  /** The user was not joined all the time since. */ readonly interrupted: boolean;
};

/** What was read of the rooms that may have changed. */
type Changes = {
  readonly ids: readonly RoomId[];
  readonly now: ReadonlyMap<RoomId, RoomFactsRow>;
  readonly bases: ReadonlyMap<RoomId, Base>;
  readonly last: ReadonlyMap<RoomId, RoomNow>;
  readonly childrenBefore: SpaceChildren | undefined;
  readonly childrenNow: SpaceChildren | undefined;
  readonly moved: ReadonlySet<RoomId>;
};

export async function listDelta(context: Context, params: ListParams, memory: Memory): Promise<Evaluation<"room_list">> {
  const sent = new Set([...(memory.sent ?? []), ...context.pageRooms.map((room) => room.roomId)]);
  const changes = await readChanges(context, params);
  const fates = fatesOf(params, sent, changes);
  const roomsWith = (asked: Fate) => [...fates].filter(([, fate]) => fate === asked).map(([roomId]) => roomId);
  const removed = roomsWith("leave");
  const [entries, notifications, matching] = await Promise.all([
    roomEntries(context, await inOrder(changedEntries(fates, changes), params), context.to, params),
    notificationEntries(context, roomsWith("notify"), changes.now, changes.bases),
    matchingRooms(context, params, changes.childrenNow),
  ]);

  const after = [...sent].filter((roomId) => fates.get(roomId) !== "leave");
  after.push(...roomsWith("enter").filter((roomId) => !sent.has(roomId)));
  const unchanged = entries.length + removed.length + notifications.length === 0;
  const active = params.spaces ? matching.toSorted() : after;
  const nextMemory: Memory = {
    sent: after.toSorted(),
    ...(params.spaces && { children: active }),
    ...(unchanged && memory.page !== undefined && { page: memory.page }),
  };
  // Rooms that a page sent start now in the streams that follow this one.
  const tracked = trackedAfter(context.tracked.staying, active);
  if (unchanged) return { ...NO_NEWS, memory: nextMemory, tracked };
  const answer = { entries, count: matching.length, p: negotiated(params), removed, notifications };
  return { answer, news: true, memory: nextMemory, tracked };
}

async function readChanges(context: Context, params: ListParams): Promise<Changes> {
  const from = context.from.position;
  // A room that was sent in a page of an older token (D14) has changed since that page.
  const late = new Map(context.pageRooms.filter((room) => room.position < from).map((room) => [room.roomId, room.position]));
  const [childrenBefore, childrenNow] = params.spaces
    ? await Promise.all([spaceChildren(context, params.spaces, from), spaceChildren(context, params.spaces, context.to)])
    : [undefined, undefined];
  const moved = movedChildren(params, childrenBefore, childrenNow);
  const ids = [...new Set([...(await changedRooms(context, params)), ...late.keys(), ...moved])];
  const [now, bases, last] = await Promise.all([
    factsAt(context.tx, context.account, ids, context.to),
    readBases(context, ids, late),
    roomsNow(context.tx, context.account, ids),
  ]);
  return { ids, now, bases, last, childrenBefore, childrenNow, moved };
}

/** @param sent the rooms that were sent before */
function fatesOf(params: ListParams, sent: ReadonlySet<RoomId>, { ids, now, bases, childrenBefore, childrenNow }: Changes): Map<RoomId, Fate> {
  const [isListedNow, wasListed] = [listMatch(params.filters, childrenNow), listMatch(params.filters, childrenBefore)];
  const matched = (row: RoomFactsRow | undefined, isListed: ListMatch) => row?.membership === "join" && params.rooms && isListed(row);
  const fates = new Map<RoomId, Fate>();
  for (const roomId of ids) {
    const matchesNow = matched(now.get(roomId), isListedNow);
    const base = bases.get(roomId);
    const again = base?.interrupted !== false;
    if (sent.has(roomId)) fates.set(roomId, !matchesNow ? "leave" : again ? "enter" : "entry");
    // With spaces the active set is all their children, whether a page has sent them yet or not.
    else if (matchesNow && (params.spaces !== null || again || !matched(base?.facts, wasListed))) fates.set(roomId, "enter");
    else if (params.trackNotifications && now.get(roomId)?.membership === "join") fates.set(roomId, "notify");
  }
  return fates;
}

function changedEntries(fates: ReadonlyMap<RoomId, Fate>, { now, bases, last, childrenNow, moved }: Changes): EntryRoom[] {
  const rooms: EntryRoom[] = [];
  for (const [roomId, fate] of fates) {
    const row = now.get(roomId);
    const base = bases.get(roomId);
    const full = fate === "enter" || base?.facts === undefined;
    // A room that only stopped matching is named in `removed`; one that the user left ends with the leave event.
    if (!row || fate === "notify" || (fate === "leave" && (full || row.membership === "join"))) continue;
    rooms.push({
      now: row,
      before: full ? undefined : base.facts,
      from: full ? (0 as Position) : base.from,
      ...(last.get(roomId) ?? UNKNOWN),
      spaceOrder: childrenNow?.get(roomId),
      moved: moved.has(roomId),
    });
  }
  return rooms;
}

/** Rooms that became or ceased to be children, and in lists sorted by space order those that moved. */
function movedChildren(params: ListParams, before: SpaceChildren | undefined, now: SpaceChildren | undefined): Set<RoomId> {
  const ordered = params.sorts.includes("by_space_order");
  const moved = new Set<RoomId>();
  for (const roomId of new Set([...(before?.keys() ?? []), ...(now?.keys() ?? [])])) {
    const [a, b] = [before?.get(roomId), now?.get(roomId)];
    if (!a !== !b || (ordered && (a?.order !== b?.order || a?.ts !== b?.ts))) moved.add(roomId);
  }
  return moved;
}

/** @param late rooms that were sent at another position than the token's */
async function readBases(context: Context, ids: readonly RoomId[], late: ReadonlyMap<RoomId, Position>): Promise<Map<RoomId, Base>> {
  const bases = new Map<RoomId, Base>();
  for (const [from, rooms] of Map.groupBy(ids, (roomId) => late.get(roomId) ?? context.from.position)) {
    const [facts, standings] = await Promise.all([
      factsAt(context.tx, context.account, rooms, from),
      membershipOver(context.tx, context.account, rooms, from, context.to),
    ]);
    for (const roomId of rooms) bases.set(roomId, { from, facts: facts.get(roomId), interrupted: standings.get(roomId)?.interrupted !== false });
  }
  return bases;
}

/** Entries are in the order of the list (S5: `rooms` is ordered). */
async function inOrder(rooms: readonly EntryRoom[], params: ListParams): Promise<EntryRoom[]> {
  const byId = new Map(rooms.map((room) => [room.now.room_id, room]));
  const sorted = await sortRooms(
    rooms.map((room) => room.now),
    params.sorts,
    {
      lastTs: (roomId) => byId.get(roomId)?.recency ?? 0,
      spaceOrder: (roomId) => byId.get(roomId)?.spaceOrder,
    },
  );
  return sorted.flatMap((row) => byId.get(row.room_id) ?? []);
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

async function matchingRooms(context: Context, params: ListParams, children: SpaceChildren | undefined): Promise<RoomId[]> {
  if (!params.rooms) return [];
  const { rooms } = await joinedRooms(context);
  const matching = await filterInSlices(rooms.values(), listMatch(params.filters, children), new Slices());
  return matching.map((row) => row.room_id);
}

/**
 * Rooms outside the active set: changed counts, events that notify, and all events of encrypted rooms, since only the client can tell which of
 * those notify.
 */
async function notificationEntries(
  context: Context,
  rooms: readonly RoomId[],
  now: ReadonlyMap<RoomId, RoomFactsRow>,
  bases: ReadonlyMap<RoomId, Base>,
): Promise<Notification[]> {
  const windows = rooms.map((roomId) => ({ roomId, after: context.from.position, sentSince: sentSince(context, roomId, now.get(roomId)?.facts) }));
  const { tx, account, to, ignored } = context;
  const stored = await readTimelines(tx, account, windows, { to, limit: NOTIFICATION_EVENTS, ignored });
  const timelines = await withTransactions(tx, context, stored);
  const entries: Notification[] = [];
  for (const roomId of rooms) {
    const row = now.get(roomId);
    if (!row) continue;
    const { is_encrypted: encrypted, notification_count, highlight_count } = row.facts;
    const was = bases.get(roomId)?.facts?.facts;
    const counted = notification_count !== (was?.notification_count ?? 0) || highlight_count !== (was?.highlight_count ?? 0);
    const events = toldEvents(timelines.get(roomId), encrypted);
    if (!counted && events.length === 0) continue;
    entries.push({ roomId, notifications: notification_count, highlights: highlight_count, encrypted, events });
  }
  return entries;
}

function toldEvents(timeline: Timeline | undefined, encrypted: boolean): Timeline["events"] {
  const events = timeline?.events ?? [];
  return encrypted ? events : events.filter((event) => event.notify);
}
