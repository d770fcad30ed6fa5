/** S5 Room list: the rooms of an account in a chosen order, page by page, and changes of the rooms that were sent. */

import { createHash } from "node:crypto";
import { filterInSlices, Slices } from "../../base/slices.ts";
import { factsAt, roomsNow } from "../../store/facts.ts";
import { statePairs } from "../../store/state.ts";
import { type ListedRoom, joinedRooms, UNKNOWN } from "./joined-rooms.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { canonicalJson } from "../../base/canonical-json.ts";
import { listDelta } from "./room-list-delta.ts";
import { listLimit, type ListParams, negotiated, trackedAfter } from "./room-list-answer.ts";
import { listMatch } from "./room-list-match.ts";
import { listSorts, sortRooms } from "./room-list-sort.ts";
import type { Entry } from "./answers.ts";
import { type EntryRoom, identityOf, roomEntries } from "./room-entry.ts";
import { type SpaceChildren, spaceChildren } from "../../sync/space-children.ts";
import type { Context, Evaluation, Memory, Stream } from "./stream.ts";
import { clampLimit, NO_NEWS } from "./stream.ts";

export const roomList: Stream<"room_list", ListParams> = {
  key: "room_list",
  kinds: new Set(["timeline", "state", "facts", "members"]),
  resolve: (asked) => ({
    limit: listLimit(asked.p?.limit),
    sorts: listSorts(asked.p?.sort),
    stateEvents: statePairs(asked.state_events ?? []),
    spaces: asked.spaces ?? null,
    timelineLimit: clampLimit(asked.timeline_limit, 1, 20),
    lazyLoadMembers: asked.lazy_load_members !== false,
    trackNotifications: asked.track_notifications !== false,
    filters: asked.filters ?? {},
    rooms: asked.rooms !== false,
  }),
  selection: (params) => [params.sorts, params.stateEvents, params.spaces, params.filters, params.rooms],
  async evaluate(context, params, memory, firstPage) {
    if (memory && !firstPage) return listDelta(context, params, memory);
    return firstRooms(context, params, firstPage ? memory : undefined);
  },
};

/** Identifies the parameters that a stored snapshot of the list belongs to: its pages are valid for no others. */
export function listSelection(params: ListParams): string {
  return hashOf(roomList.selection(params)).slice(0, 12);
}

/**
 * Page one at the context's position: the first answer of the stream, or what `p.since = "1"` asks for. The active set is replaced by it. `before`:
 * the memory of an earlier page one; the same page again is no news (D16).
 */
async function firstRooms(context: Context, params: ListParams, before: Memory | undefined): Promise<Evaluation<"room_list">> {
  const children = params.spaces ? await spaceChildren(context, params.spaces, context.to) : undefined;
  const ordered = params.rooms ? await orderedRooms(context, params, children) : [];
  const listed = ordered.slice(0, params.limit);
  const entries = await fullEntries(context, listed, context.to, params, children);
  const sent = listed.map((row) => row.room_id).sort();
  const page = hashOf([params, ordered.length, entries.map(identityOf)]);
  const active = params.spaces ? ordered.map((row) => row.room_id).sort() : sent;
  const memory = { sent, page, ...(params.spaces && { children: active }) };
  const tracked = trackedAfter(context.tracked.staying, active);
  if (before?.page === page) return { ...NO_NEWS, memory, tracked };
  const snapshot = ordered.length > listed.length ? snapshotOf(ordered.map((row) => row.room_id)) : undefined;
  const cursor = snapshot && { stream: "room_list" as const, selection: listSelection(params), snapshot: snapshot.number, offset: listed.length };
  const answer = { entries, count: ordered.length, p: negotiated(params, cursor && context.sealPage(cursor)) };
  return { answer, news: true, memory, tracked, ...(snapshot && { snapshot }) };
}

/** All rooms that match at the context's position, in order. */
async function orderedRooms(context: Context, params: ListParams, children: SpaceChildren | undefined): Promise<readonly ListedRoom[]> {
  const { rooms, orders } = await joinedRooms(context);
  const inOrder = async () => {
    const matching = await filterInSlices(rooms.values(), listMatch(params.filters, children), new Slices());
    return sortRooms(matching, params.sorts, {
      lastTs: (roomId) => rooms.get(roomId)?.recency ?? 0,
      spaceOrder: (roomId) => children?.get(roomId),
    });
  };
  if (children) return inOrder();
  const key = hashOf([params.filters, params.sorts]);
  const ordered = orders.get(key) ?? (await inOrder());
  orders.set(key, ordered);
  return ordered;
}

/** Joined rooms as they were at a position not after the context's. Rooms that are unknown by now are left out. */
export async function roomsAt(context: Context, roomIds: readonly RoomId[], at: Position): Promise<ListedRoom[]> {
  if (at === context.to) {
    const { rooms } = await joinedRooms(context);
    return roomIds.flatMap((roomId) => rooms.get(roomId) ?? []);
  }
  const [facts, now] = await Promise.all([factsAt(context.tx, context.account, roomIds, at), roomsNow(context.tx, context.account, roomIds)]);
  return roomIds.flatMap((roomId) => {
    const row = facts.get(roomId);
    return row ? [{ ...row, ...(now.get(roomId) ?? UNKNOWN) }] : [];
  });
}

/** Full entries of rooms at a position, in the given order. */
export async function fullEntries(
  context: Context,
  rooms: readonly ListedRoom[],
  at: Position,
  params: ListParams,
  children: SpaceChildren | undefined,
): Promise<Entry[]> {
  const full = rooms.map((row): EntryRoom => ({
    now: row,
    before: undefined,
    from: 0 as Position,
    recency: row.recency,
    changedOrd: row.changedOrd,
    spaceOrder: children?.get(row.room_id),
    moved: false,
  }));
  return roomEntries(context, full, at, params);
}

/** The number comes from the content, so that a retry finds the same snapshot. */
function snapshotOf(rooms: readonly RoomId[]) {
  const hash = createHash("sha256").update(JSON.stringify(rooms)).digest();
  return { number: hash.readUInt32BE(0) & 0x7fff_ffff, hash, rooms };
}

function hashOf(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("base64url");
}
