/** Which rooms a request asks about, and with which config: lists, their windows, and subscriptions (MSC4186, "Lists and subscriptions"). */

import type { AccountRoom } from "../../store/account-rooms.ts";
import type { Tx } from "../../store/db.ts";
import { spaceChildren } from "../../streams/space-children.ts";
import { type AccountNo, isStorable, type RoomId, type UserId } from "../../wire/ids.ts";
import type { AccountView } from "./account-view.ts";
import { toldUpTo, type ConnectionState } from "./connection-state.ts";
import type { RoomConfig, Scope, SlidingBody, SlidingFilters, SlidingList } from "./request.ts";
import { combine } from "./required-state.ts";

/** A list's answer. */
export type ListResult = {
  /** All rooms that match, whatever the window. */
  readonly count: number;
  /** The rooms of each window, in their order. */
  readonly windows: readonly { readonly range: readonly [number, number]; readonly rooms: readonly RoomId[] }[];
};

export type ChosenRoom = {
  readonly room: AccountRoom;
  /** The lists in whose windows it is. */
  readonly lists: readonly string[];
  readonly subscribed: boolean;
  readonly config: RoomConfig;
};

export type Selection = { readonly lists: ReadonlyMap<string, ListResult>; readonly chosen: ReadonlyMap<RoomId, ChosenRoom> };

export type Asking = {
  readonly tx: Tx;
  readonly account: AccountNo;
  readonly rooms: Pick<AccountView, "position" | "byId" | "sorted">;
  readonly ignored: readonly UserId[];
  readonly state: ConnectionState;
  /** The position that `state` belongs to. */
  readonly from: number;
  /** See ConnectionHead. */
  readonly joinedRooms: number | null;
};

/** Subscriptions to rooms that the user may not see are ignored. */
export async function selectRooms(asking: Asking, body: Pick<SlidingBody, "lists" | "subscriptions">): Promise<Selection> {
  const found = new Map<RoomId, { room: AccountRoom; lists: string[]; subscribed: boolean; configs: RoomConfig[] }>();
  const choose = (room: AccountRoom) => {
    let choice = found.get(room.roomId);
    if (!choice) found.set(room.roomId, (choice = { room, lists: [], subscribed: false, configs: [] }));
    return choice;
  };
  const lists = new Map<string, ListResult>();
  const listed = body.lists.size > 0 ? listedRooms(asking) : [];
  for (const [name, list] of body.lists) {
    // One after the other: they share a connection.
    // oxlint-disable-next-line no-await-in-loop -- few lists ask for spaces
    const children = list.filters.spaces ? await spaceChildren(asking, list.filters.spaces.filter(isStorable), asking.rooms.position) : null;
    const isFiltered = Object.keys(list.filters).length > 0;
    const matching = isFiltered ? listed.filter((room) => matches(room, list.filters, children)) : listed;
    const windows = windowsOf(list, matching);
    lists.set(name, {
      count: matching.length + unseen(asking, list.filters),
      windows: windows.map(({ range, rooms }) => ({ range, rooms: rooms.map((room) => room.roomId) })),
    });
    for (const room of new Set(windows.flatMap((window) => window.rooms))) {
      const choice = choose(room);
      choice.lists.push(name);
      choice.configs.push(list.config);
    }
  }
  for (const [roomId, config] of body.subscriptions) {
    const room = asking.rooms.byId.get(roomId);
    if (!room || !isAccessible(asking, room)) continue;
    const choice = choose(room);
    choice.subscribed = true;
    choice.configs.push(config);
  }
  const chosen = [...found].map(([roomId, { configs, ...choice }]) => [roomId, { ...choice, config: combined(configs) }] as const);
  return { lists, chosen: new Map(chosen) };
}

/** Whether an extension tells of a room. */
export function inScope(scope: Scope, { lists, subscribed, room }: ChosenRoom): boolean {
  if (subscribed && (scope.rooms === "all" || scope.rooms.has(room.roomId))) return true;
  const named = scope.lists;
  return named === "all" ? lists.length > 0 : lists.some((name) => named.has(name));
}

function combined(configs: readonly RoomConfig[]): RoomConfig {
  const [only] = configs;
  if (only && configs.length === 1) return only;
  return {
    timelineLimit: Math.max(0, ...configs.map((config) => config.timelineLimit)),
    requiredState: combine(configs.map((config) => config.requiredState)),
  };
}

/** Rooms that are not stored yet and may be taken to match. Of most filters nobody can say. */
function unseen({ rooms, joinedRooms }: Asking, filters: SlidingFilters): number {
  if (joinedRooms === null || Object.keys(filters).some((name) => !NARROWING_LITTLE.has(name))) return 0;
  return Math.max(0, joinedRooms - rooms.sorted.filter((room) => room.membership === "join").length);
}

/** Filters that leave out few of the joined rooms: spaces, say. */
const NARROWING_LITTLE: ReadonlySet<string> = new Set(["notRoomTypes"]);

/** What is listed for who was told nothing yet: the same for all that begin a connection while the rooms are as they are. */
const listedAnew = new WeakMap<readonly AccountRoom[], { readonly ignored: string; readonly listed: readonly AccountRoom[] }>();

function listedRooms(asking: Asking): readonly AccountRoom[] {
  const { sorted } = asking.rooms;
  const list = () => sorted.filter((room) => isListed(asking, room));
  if (asking.state.rooms.size > 0) return list();
  const ignored = asking.ignored.join(" ");
  let known = listedAnew.get(sorted);
  if (known?.ignored !== ignored) listedAnew.set(sorted, (known = { ignored, listed: list() }));
  return known.listed;
}

/** Part of the list that the server keeps: a room that the user left is only there to say so to who was told of it. */
function isListed(asking: Asking, room: AccountRoom): boolean {
  switch (room.membership) {
    case "join":
      return true;
    case "invite":
    case "knock":
      return !isIgnored(asking, room);
    case "ban":
      return room.everJoined || wasTold(asking, room);
    case "leave":
      return wasKicked(asking, room) || isNewlyLeft(asking, room);
  }
}

/** What a subscription may name: a room that the user is or was in, or was invited to. */
function isAccessible(asking: Asking, room: AccountRoom): boolean {
  if (room.membership === "leave" || room.membership === "ban") return room.everJoined || wasKicked(asking, room) || wasTold(asking, room);
  return room.membership === "join" || !isIgnored(asking, room);
}

function isIgnored(asking: Asking, room: AccountRoom): boolean {
  return room.inviter !== null && asking.ignored.includes(room.inviter);
}

/** Nobody is told of an invite by an ignored user by its being withdrawn. */
function wasKicked(asking: Asking, room: AccountRoom): boolean {
  return room.kicked && (room.everJoined || !isIgnored(asking, room));
}

function wasTold({ state }: Asking, room: AccountRoom): boolean {
  return state.rooms.get(room.roomId)?.told.events !== undefined;
}

function isNewlyLeft({ state, from }: Asking, room: AccountRoom): boolean {
  const told = toldUpTo(state.rooms.get(room.roomId), "events", from);
  return told !== undefined && told < room.membershipOrd;
}

/** What nobody told us of (an invite's type, say) matches no explicit value. */
function matches(room: AccountRoom, filters: SlidingFilters, children: ReadonlyMap<RoomId, unknown> | null): boolean {
  const { facts } = room;
  const unknown = facts.bare === true;
  if (filters.isDm !== undefined && facts.is_dm !== filters.isDm) return false;
  if (filters.isInvite !== undefined && (room.membership === "invite") !== filters.isInvite) return false;
  if (filters.isEncrypted !== undefined && (unknown || facts.is_encrypted !== filters.isEncrypted)) return false;
  if (children && !children.has(room.roomId)) return false;
  const type = facts.room_type ?? null;
  if (filters.notRoomTypes && (unknown || filters.notRoomTypes.includes(type))) return false;
  if (filters.roomTypes && (unknown || !filters.roomTypes.includes(type))) return false;
  const hasTag = (tag: string) => Object.hasOwn(facts.tags, tag);
  if (filters.notTags?.some(hasTag)) return false;
  if (filters.tags && !filters.tags.some(hasTag)) return false;
  return filters.roomNameLike === undefined || (facts.name ?? "").toLowerCase().includes(filters.roomNameLike.toLowerCase());
}

function windowsOf(list: SlidingList, matching: readonly AccountRoom[]) {
  const ranges = list.ranges ?? [[0, Math.max(0, matching.length - 1)] as const];
  return ranges.map((range) => ({ range, rooms: matching.slice(range[0], range[1] + 1) }));
}
