/** Which rooms a request asks about, and with which config: lists, their windows, and subscriptions (MSC4186, "Lists and subscriptions"). */

import { filterInSlices, Slices } from "../base/slices.ts";
import type { AccountRoom } from "../store/account-rooms.ts";
import type { Tx } from "../store/db.ts";
import { childrenOfSpaces, type SpaceChildren } from "../sync/space-children.ts";
import { type AccountNo, isStorable, type RoomId, type UserId } from "../wire/ids.ts";
import { atMost, requestBounds } from "../wire/request-bounds.ts";
import type { AccountView } from "./account-view.ts";
import { combinationsOf } from "./combinations.ts";
import { sentUpTo, type ConnectionState } from "./connection-state.ts";
import type { RoomConfig, Scope, SlidingBody, SlidingFilters, SlidingList } from "./request.ts";
import type { RequiredState } from "./required-state.ts";
import { roomFilter } from "./room-filter.ts";

/** A list's answer. */
export type ListResult = {
  /** All rooms that match, in the window or not. */
  readonly count: number;
  /** The rooms of each window, in order. */
  readonly windows: readonly { readonly range: readonly [number, number]; readonly rooms: readonly RoomId[] }[];
};

export type ChosenRoom = {
  readonly room: AccountRoom;
  /** The lists whose windows contain it. */
  readonly lists: readonly string[];
  readonly subscribed: boolean;
  readonly config: RoomConfig;
};

export type Selection = {
  readonly lists: ReadonlyMap<string, ListResult>;
  readonly chosen: ReadonlyMap<RoomId, ChosenRoom>;
  /** Rooms that are subscribed to and not stored. */
  readonly unknown: readonly RoomId[];
  /** The sought rooms that are asked about: a list matches them, in its window or not, or they are subscribed to. */
  readonly matched: ReadonlySet<RoomId>;
};

export type SelectionContext = {
  /** null: see SlidingContext. */
  readonly tx: Tx | null;
  readonly account: AccountNo;
  readonly rooms: Pick<AccountView, "position" | "byId" | "sorted">;
  readonly ignored: readonly UserId[];
  readonly state: ConnectionState;
  /** The position that `state` belongs to. */
  readonly from: number;
  /** See ConnectionHead. */
  readonly joinedRooms: number | null;
  /** See Selection.matched. */
  readonly sought: ReadonlySet<RoomId>;
};

type Choice = {
  readonly room: AccountRoom;
  readonly lists: string[];
  subscribed: boolean;
  timelineLimit: number;
  readonly states: Set<RequiredState>;
};

/** The rooms chosen so far. */
class Choices {
  readonly #found = new Map<RoomId, Choice>();

  add(room: AccountRoom, config: RoomConfig): Choice {
    let choice = this.#found.get(room.roomId);
    if (!choice) this.#found.set(room.roomId, (choice = { room, lists: [], subscribed: false, timelineLimit: 0, states: new Set() }));
    choice.timelineLimit = Math.max(choice.timelineLimit, config.timelineLimit);
    choice.states.add(config.requiredState);
    return choice;
  }

  async done(slices: Slices): Promise<Selection["chosen"]> {
    const stateOf = combinationsOf([...this.#found.values()].map(({ states }) => states));
    const chosen = new Map<RoomId, ChosenRoom>();
    for (const [roomId, { room, lists, subscribed, timelineLimit, states }] of this.#found) {
      if (slices.isDue) await slices.pause();
      chosen.set(roomId, { room, lists, subscribed, config: { timelineLimit, requiredState: stateOf(states) } });
    }
    return chosen;
  }
}

/**
 * Subscriptions to rooms that the user may not see are ignored. null: memory does not hold the children of the spaces that lists name.
 * @throws MatrixError 400 M_INVALID_PARAM if the windows hold more rooms than one answer may name
 */
export async function selectRooms(asking: SelectionContext, body: Pick<SlidingBody, "lists" | "subscriptions">): Promise<Selection | null> {
  const slices = new Slices();
  const choices = new Choices();
  const lists = new Map<string, ListResult>();
  const listed = body.lists.size > 0 ? listedRooms(asking) : [];
  const children = await childrenOfLists(asking, body.lists.values());
  if (!children) return null;
  const unseen = unseenRooms(asking);
  const unknown: RoomId[] = [];
  const matched = new Set<RoomId>();
  let named = 0;
  for (const [name, list] of body.lists) {
    const matching = await matchingRooms(list.filters, children, listed, slices);
    if (asking.sought.size > 0) for (const { roomId } of matching) if (asking.sought.has(roomId)) matched.add(roomId);
    const windows = windowsOf(list, matching);
    named += windows.reduce((sum, window) => sum + window.rooms.length, 0);
    atMost("lists", named, requestBounds().listedRooms, "rooms in all windows together");
    lists.set(name, {
      count: matching.length + unseen(list.filters),
      windows: windows.map(({ range, rooms }) => ({ range, rooms: rooms.map((room) => room.roomId) })),
    });
    for (const room of new Set(windows.flatMap((window) => window.rooms))) {
      if (slices.isDue) await slices.pause();
      choices.add(room, list.config).lists.push(name);
    }
  }
  for (const [roomId, config] of body.subscriptions) {
    const room = asking.rooms.byId.get(roomId);
    if (!room) unknown.push(roomId);
    else if (isAccessible(asking, room)) {
      choices.add(room, config).subscribed = true;
      if (asking.sought.has(roomId)) matched.add(roomId);
    }
  }
  return { lists, chosen: await choices.done(slices), unknown, matched };
}

/** The children of all spaces that lists name, read once per request. */
async function childrenOfLists(
  { tx, account, rooms }: SelectionContext,
  lists: Iterable<SlidingList>,
): Promise<ReadonlyMap<RoomId, SpaceChildren> | null> {
  const spaces = new Set<RoomId>();
  for (const { filters } of lists) for (const space of filters.spaces ?? []) if (isStorable(space)) spaces.add(space);
  if (spaces.size === 0) return new Map();
  return tx && childrenOfSpaces({ tx, account }, [...spaces], rooms.position);
}

async function matchingRooms(
  filters: SlidingFilters,
  ofSpaces: ReadonlyMap<RoomId, SpaceChildren>,
  listed: readonly AccountRoom[],
  slices: Slices,
): Promise<readonly AccountRoom[]> {
  if (Object.keys(filters).length === 0) return listed;
  const children = filters.spaces ? new Map(filters.spaces.flatMap((space) => [...(ofSpaces.get(space) ?? [])])) : null;
  return filterInSlices(listed, roomFilter(filters, children), slices);
}

/** Whether an extension covers a room. */
export function inScope(scope: Scope, { lists, subscribed, room }: ChosenRoom): boolean {
  if (subscribed && (scope.rooms === "all" || scope.rooms.has(room.roomId))) return true;
  const named = scope.lists;
  return named === "all" ? lists.length > 0 : lists.some((name) => named.has(name));
}

/** How many rooms that are not stored yet may be assumed to match filters. For most filters this is unknown, and 0. */
function unseenRooms({ rooms, joinedRooms }: SelectionContext): (filters: SlidingFilters) => number {
  if (joinedRooms === null) return () => 0;
  const unseen = Math.max(0, joinedRooms - rooms.sorted.filter((room) => room.membership === "join").length);
  return (filters) => (Object.keys(filters).every((name) => NARROWING_LITTLE.has(name)) ? unseen : 0);
}

/** Filters that leave out few of the joined rooms, for example spaces. */
const NARROWING_LITTLE: ReadonlySet<string> = new Set(["notRoomTypes"]);

/** What is listed for connections that were sent no rooms yet: the same for all of them while the rooms do not change. */
const listedFromScratch = new WeakMap<readonly AccountRoom[], { readonly ignored: string; readonly listed: readonly AccountRoom[] }>();

function listedRooms(asking: SelectionContext): readonly AccountRoom[] {
  const { sorted } = asking.rooms;
  const list = () => sorted.filter((room) => isListed(asking, room));
  if (asking.state.rooms.size > 0) return list();
  const ignored = asking.ignored.join(" ");
  let known = listedFromScratch.get(sorted);
  if (known?.ignored !== ignored) listedFromScratch.set(sorted, (known = { ignored, listed: list() }));
  return known.listed;
}

/**
 * Whether the room is part of the server's list. A room that the user left stays only until connections that were sent it have been sent the leave.
 */
function isListed(asking: SelectionContext, room: AccountRoom): boolean {
  switch (room.membership) {
    case "join":
      return true;
    case "invite":
    case "knock":
      return !isIgnored(asking, room);
    case "ban":
      return room.everJoined || wasSent(asking, room);
    case "leave":
      return wasKicked(asking, room) || isNewlyLeft(asking, room);
  }
}

/** Whether a subscription may name the room: the user is or was in it, or was invited. */
function isAccessible(asking: SelectionContext, room: AccountRoom): boolean {
  if (room.membership === "leave" || room.membership === "ban") return room.everJoined || wasKicked(asking, room) || wasSent(asking, room);
  return room.membership === "join" || !isIgnored(asking, room);
}

function isIgnored(asking: SelectionContext, room: AccountRoom): boolean {
  return room.inviter !== null && asking.ignored.includes(room.inviter);
}

/** Don't reveal an ignored user's invite through its withdrawal. */
function wasKicked(asking: SelectionContext, room: AccountRoom): boolean {
  return room.kicked && (room.everJoined || !isIgnored(asking, room));
}

function wasSent({ state }: SelectionContext, room: AccountRoom): boolean {
  return state.rooms.get(room.roomId)?.sent.events !== undefined;
}

function isNewlyLeft({ state, from }: SelectionContext, room: AccountRoom): boolean {
  const sent = sentUpTo(state.rooms.get(room.roomId), "events", from);
  return sent !== undefined && sent < room.membershipOrd;
}

function windowsOf(list: SlidingList, matching: readonly AccountRoom[]) {
  const ranges = list.ranges ?? [[0, Math.max(0, matching.length - 1)] as const];
  return ranges.map((range) => ({ range, rooms: matching.slice(range[0], range[1] + 1) }));
}
