/** Entries of the room list (S5): a room as a list shows it, in full or only what changed. */

import { createHash } from "node:crypto";
import { Slices } from "../../base/slices.ts";
import { withBundles } from "../../store/bundles.ts";
import { allMembersAt, membersAt, type MemberRow, someMembersAt } from "../../store/members.ts";
import type { RoomNow } from "../../store/facts.ts";
import type { RoomHero } from "../../store/background-asks.ts";
import { isUnknownHero, type RoomFacts, type RoomFactsRow } from "../../store/room-facts.ts";
import { withTransactions } from "../../store/sent-events.ts";
import { stateAt, stateChanged, type StateRow } from "../../store/state.ts";
import { readTimelines, type Timeline } from "../../store/timeline.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { canonicalJson } from "../../base/canonical-json.ts";
import type { Entry } from "./answers.ts";
import { UNKNOWN } from "./joined-rooms.ts";
import { sentSince } from "../../sync/message-expiry.ts";
import type { RoomAsk } from "../../sync/room-cache.ts";
import { prevBatchOf } from "../../sync/prev-batch.ts";
import type { FullRoom } from "./full-room.ts";
import type { SpaceOrder } from "../../sync/space-children.ts";
import type { ListSort } from "./room-list-sort.ts";
import type { Context } from "./stream.ts";

export type EntryParams = {
  readonly timelineLimit: number;
  readonly stateEvents: readonly (readonly [string, string])[];
  readonly lazyLoadMembers: boolean;
  readonly sorts: readonly ListSort[];
};

/** A room to send: in full if `before` is undefined, otherwise what changed since `from`. */
export type EntryRoom = RoomNow & {
  readonly now: RoomFactsRow;
  readonly before: RoomFactsRow | undefined;
  /** Exclusive; 0 for a room that is sent in full. */
  readonly from: Position;
  /** How its space orders it. */
  readonly spaceOrder: SpaceOrder | undefined;
  /** The space orders it differently than before. */
  readonly moved: boolean;
};

const FACTS = [
  "name",
  "avatar",
  "heroes",
  "is_dm",
  "is_encrypted",
  "joined_count",
  "invited_count",
  "notification_count",
  "highlight_count",
  "tags",
] as const satisfies readonly (keyof RoomFacts)[];

const SORTED_BY: Readonly<Record<ListSort, readonly (keyof RoomFacts)[]>> = {
  by_recency: [],
  by_name: ["name"],
  by_space_order: [],
  by_highlight_count: ["highlight_count"],
  by_notification_count: ["notification_count"],
};

const NOTHING_READ: FullRoom = { timeline: undefined, state: [] };
const NO_TIMELINE = { events: [], limited: false, prevBatch: null, exact: false };

/** Entries of some rooms at a position, in the same order; empty deltas are left out. */
export async function roomEntries(context: Context, rooms: readonly EntryRoom[], at: Position, params: EntryParams): Promise<Entry[]> {
  const cached = new Map<RoomId, FullRoom>();
  const asks = at === context.cache.now.position ? asksOf(context, rooms, params) : [];
  for (const ask of asks) {
    const room = context.cache.full.get(ask);
    if (room) cached.set(ask.roomId, room);
  }
  const read = await readRooms(
    context,
    rooms.filter((room) => !cached.has(room.now.room_id)),
    at,
    params,
  );
  for (const ask of asks) {
    const room = read.get(ask.roomId);
    if (room) context.cache.full.set(ask, room);
  }
  const slices = new Slices();
  const entries: Entry[] = [];
  for (const room of rooms) {
    if (slices.isDue) await slices.pause();
    const roomId = room.now.room_id;
    const entry = compose(context, room, cached.get(roomId) ?? read.get(roomId) ?? NOTHING_READ, params);
    if (entry) entries.push(entry);
  }
  return entries;
}

/** The rooms that are sent in full and may be cached. */
function asksOf(context: Context, rooms: readonly EntryRoom[], params: EntryParams): RoomAsk[] {
  const { account, device, userId, ignored } = context;
  const config = shortened(JSON.stringify([params.timelineLimit, params.lazyLoadMembers, params.stateEvents]));
  const full = rooms.filter((room) => !room.before && room.now.membership === "join" && room.changedOrd !== UNKNOWN.changedOrd);
  return full.map(({ now: { room_id: roomId, facts }, changedOrd }) => {
    return { account, device, userId, ignored, now: context.now, roomId, sentSince: sentSince(context, roomId, facts), changedOrd, config };
  });
}

/** Part of many cache keys, so a long config is replaced by its hash. */
function shortened(config: string): string {
  return config.length <= 1000 ? config : createHash("sha256").update(config).digest("base64url");
}

async function readRooms(context: Context, rooms: readonly EntryRoom[], at: Position, params: EntryParams): Promise<Map<RoomId, FullRoom>> {
  const readings = new Map<RoomId, FullRoom>();
  if (rooms.length === 0) return readings;
  const [stored, states] = await Promise.all([
    readTimelines(
      context.tx,
      context.account,
      rooms.map(({ now: { room_id: roomId, facts }, from }) => ({ roomId, after: from, sentSince: sentSince(context, roomId, facts) })),
      {
        to: at,
        limit: params.timelineLimit,
        ignored: context.ignored,
      },
    ),
    requiredState(context, rooms, at, params.stateEvents),
  ]);
  const bundled = await withBundles(context.tx, { ...context, to: at }, stored, { outdated: context.askBundles });
  const timelines = await withTransactions(context.tx, context, bundled);
  const lazy = params.lazyLoadMembers ? await lazyMembers(context, rooms, timelines, at) : new Map<RoomId, MemberRow[]>();
  for (const { now } of rooms) {
    const state = states.get(now.room_id) ?? [];
    const sent = new Set(state.map((row) => row.event_id));
    const members = (lazy.get(now.room_id) ?? []).filter((row) => !sent.has(row.event_id));
    readings.set(now.room_id, { timeline: timelines.get(now.room_id), state: [...state, ...members] });
  }
  return readings;
}

/** null: nothing changed. */
function compose(context: Context, room: EntryRoom, { timeline, state }: FullRoom, params: EntryParams): Entry | null {
  const roomId = room.now.room_id;
  const initial = room.before === undefined;
  const changed = changedFacts(room);
  const hasTimeline = initial || timeline?.limited === true || (timeline?.events.length ?? 0) > 0;
  const hasState = initial || state.length > 0;
  if (!hasTimeline && !hasState && changed.length === 0 && !room.moved) return null;
  const known = new Set<keyof RoomFacts>(changed);
  // Facts that the list is sorted by are sent with every entry.
  const sortedBy = initial ? [] : params.sorts.flatMap((sort) => SORTED_BY[sort]).filter((key) => !known.has(key));
  const { events, limited } = timeline ?? NO_TIMELINE;
  return {
    roomId,
    facts: [
      ...changed.map((key) => [key, room.now.facts[key] ?? (key === "heroes" ? [] : null)] as const),
      ...sortedBy.map((key) => [key, room.now.facts[key] ?? null] as const),
    ],
    ...(params.sorts.includes("by_space_order") && {
      spaceOrder: { order: room.spaceOrder?.order ?? null, origin_server_ts: room.spaceOrder?.ts ?? 0 },
    }),
    recency: room.recency,
    ...(changed.includes("heroes") && { unknownHeroes: unknownHeroes(room.now) }),
    ...(hasState && { state }),
    ...(hasTimeline && { timeline: { events, limited, prevBatch: prevBatchOf(context, roomId, timeline ?? NO_TIMELINE) } }),
  };
}

function unknownHeroes({ room_id: roomId, membership, facts: { sources, heroes = [] } }: RoomFactsRow): RoomHero[] {
  if (membership !== "join" || sources.name !== undefined) return [];
  return heroes.filter(isUnknownHero).map(({ user_id: userId }) => ({ roomId, userId }));
}

/** Distinguishes an entry from another one of the same room (D16: ages are not news). */
export function identityOf({ facts, spaceOrder, recency, state, timeline }: Entry): string {
  const ids = [...(state ?? []), ...(timeline?.events ?? [])].map((row) => row.event_id);
  return JSON.stringify([facts, spaceOrder, recency, ids]);
}

/** The facts to send: in full the first time, later those that changed; null if something is gone. */
function changedFacts(room: EntryRoom): (typeof FACTS)[number][] {
  const { before, now } = room;
  if (!before) return FACTS.filter((key) => now.facts[key] !== undefined);
  return FACTS.filter((key) => canonicalJson(before.facts[key] ?? null) !== canonicalJson(now.facts[key] ?? null));
}

async function requiredState(
  context: Context,
  rooms: readonly EntryRoom[],
  at: Position,
  pairs: EntryParams["stateEvents"],
): Promise<Map<RoomId, StateRow[]>> {
  const groups = new Map<RoomId, StateRow[]>();
  if (pairs.length === 0) return groups;
  const full = rooms.filter((room) => !room.before).map((room) => ({ roomId: room.now.room_id, at }));
  const deltas = rooms.filter((room) => room.before).map((room) => ({ roomId: room.now.room_id, from: room.from, to: at }));
  const memberKeys = pairs.filter(([type]) => type === "m.room.member" || type === "*").map(([, key]) => key);
  const targets = rooms.map((room) => ({ roomId: room.now.room_id, at }));
  const [present, changed, members] = await Promise.all([
    stateAt(context.tx, context.account, full, pairs),
    stateChanged(context.tx, context.account, deltas, pairs),
    memberKeys.includes("*") ? allMembersAt(context.tx, context.account, targets) : someMembersAt(context.tx, context.account, targets, memberKeys),
  ]);
  const from = new Map(rooms.map((room) => [room.now.room_id, room.before ? room.from : -1]));
  const sent = members.filter((row) => row.from_ord > (from.get(row.room_id) ?? -1));
  for (const row of [...present, ...changed, ...sent]) {
    const group = groups.get(row.room_id);
    if (group) group.push(row);
    else groups.set(row.room_id, [row]);
  }
  for (const group of groups.values()) group.sort((a, b) => compareText(a.type, b.type) || compareText(a.state_key ?? "", b.state_key ?? ""));
  return groups;
}

/** Members that the timelines' senders need, and if heroes are sent, those too. */
async function lazyMembers(
  context: Context,
  rooms: readonly EntryRoom[],
  timelines: ReadonlyMap<RoomId, Timeline>,
  at: Position,
): Promise<Map<RoomId, MemberRow[]>> {
  const wanted = rooms.flatMap((room) => {
    const roomId = room.now.room_id;
    const heroes = changedFacts(room).includes("heroes") ? (room.now.facts.heroes ?? []).map((hero) => hero.user_id) : [];
    const senders = (timelines.get(roomId)?.events ?? []).map((event) => event.sender);
    return [...new Set([...senders, ...heroes])].map((userId) => ({ roomId, userId, at }));
  });
  const members = new Map<RoomId, MemberRow[]>();
  for (const row of await membersAt(context.tx, context.account, wanted)) {
    const group = members.get(row.room_id);
    if (group) group.push(row);
    else members.set(row.room_id, [row]);
  }
  return members;
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
