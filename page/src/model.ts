/** The account as it is shown, whichever API it came through. */

import { computed, signal } from "@preact/signals";
import type { AccountAnswer, MatrixEvent } from "../../packages/client/src/index.ts";

export type Room = {
  readonly id: string;
  readonly name: string | null;
  readonly heroes: readonly string[];
  /** What the list is sorted by, the highest first. */
  readonly recency: number;
  readonly notifications: number;
  readonly highlights: number;
  readonly isEncrypted: boolean;
  readonly joined: number | null;
  readonly timeline: readonly MatrixEvent[];
  /** Where older events are; null: there are none, or nobody said. */
  readonly before: string | null;
  /** By user what their membership event says. */
  readonly members: ReadonlyMap<string, Member>;
  readonly typing: readonly string[];
  /** By user the event that they have read. */
  readonly read: ReadonlyMap<string, string>;
};
export type Member = { readonly name: string; readonly membership: string };
export type Invite = { readonly id: string; readonly name: string; readonly from: string };

const EMPTY: Omit<Room, "id"> = {
  name: null,
  heroes: [],
  recency: 0,
  notifications: 0,
  highlights: 0,
  isEncrypted: false,
  joined: null,
  timeline: [],
  before: null,
  members: new Map(),
  typing: [],
  read: new Map(),
};

export const rooms = signal<ReadonlyMap<string, Room>>(new Map());
export const invites = signal<ReadonlyMap<string, Invite>>(new Map());
/** Rooms of the account, of which `rooms` may not be all yet. */
export const total = signal(0);
/** The room on screen. */
export const openId = signal<string | null>(null);
/** The open room's member list, as far as it was paged through; null: not there yet. */
export const listed = signal<{ readonly members: readonly MatrixEvent[]; readonly hasMore: boolean } | null>(null);
/** What goes wrong just now. */
export const trouble = signal<string | null>(null);
/** While the account's first sync is under way: how far it is. */
export const firstSync = signal<AccountAnswer | null>(null);
/** The account's polls fail: how, and since when; null: they do not. */
export const stall = signal<AccountAnswer["trouble"] | null>(null);

/** In the list's order. */
export const order = computed(() => [...rooms.value.values()].toSorted((a, b) => b.recency - a.recency || (a.id < b.id ? -1 : 1)));
export const openRoom = computed(() => (openId.value === null ? null : (rooms.value.get(openId.value) ?? null)));

/** A session or connection begins: what was told before counts no more. */
export function reset(): void {
  rooms.value = new Map();
  invites.value = new Map();
  total.value = 0;
  listed.value = null;
}

/** Rooms as they are being changed. `get`: an empty one where it is not there. */
export type Changing = {
  readonly get: (id: string) => Room;
  readonly has: (id: string) => boolean;
  readonly set: (room: Room) => void;
  readonly remove: (id: string) => void;
};

/** Changes rooms, at once. */
export function changeRooms(change: (changing: Changing) => void): void {
  const changed = new Map(rooms.value);
  change({
    get: (id) => changed.get(id) ?? { id, ...EMPTY },
    has: (id) => changed.has(id),
    set: (room) => void changed.set(room.id, room),
    remove: (id) => void changed.delete(id),
  });
  rooms.value = changed;
}

export function changeInvites(change: (invites: Map<string, Invite>) => void): void {
  const changed = new Map(invites.value);
  change(changed);
  invites.value = changed;
}

/** Newer events behind those that are there; `anew`: in their place. */
export function withEvents(room: Room, events: readonly MatrixEvent[], anew: boolean, before: string | null): Room {
  const known = new Set(anew ? [] : room.timeline.map((event) => event.event_id));
  const timeline = [...(anew ? [] : room.timeline), ...events.filter((event) => !known.has(event.event_id))];
  return withState({ ...room, timeline, before: anew || room.timeline.length === 0 ? before : room.before }, events);
}

/** What state events say of members and encryption. */
export function withState(room: Room, events: readonly MatrixEvent[]): Room {
  const members = new Map(room.members);
  let { isEncrypted } = room;
  for (const event of events) {
    if (event.state_key === undefined || event.unsigned?.["syncv3.overruled"] === true) continue;
    if (event.type === "m.room.encryption") isEncrypted = true;
    if (event.type === "m.room.member") members.set(event.state_key, memberOf(event));
  }
  return { ...room, isEncrypted, members };
}

export function memberOf(event: MatrixEvent): Member {
  const { displayname, membership } = event.content;
  return {
    name: typeof displayname === "string" && displayname !== "" ? displayname : (event.state_key ?? ""),
    membership: typeof membership === "string" ? membership : "leave",
  };
}

/** Receipts as `m.receipt` has them. */
export function withReceipts(room: Room, content: Readonly<Record<string, Readonly<Record<string, object>>>>): Room {
  const read = new Map(room.read);
  for (const [eventId, kinds] of Object.entries(content)) {
    for (const user of Object.keys({ ...kinds["m.read"], ...kinds["m.read.private"] })) read.set(user, eventId);
  }
  return { ...room, read };
}

type Stripped = { readonly type: string; readonly state_key: string; readonly sender: string; readonly content: Readonly<Record<string, unknown>> };

export function inviteOf(id: string, me: string, events: readonly Stripped[]): Invite {
  const name = events.find((event) => event.type === "m.room.name")?.content["name"];
  const own = events.find((event) => event.type === "m.room.member" && event.state_key === me);
  return { id, name: typeof name === "string" && name !== "" ? name : id, from: own?.sender ?? "" };
}

export function nameOf(room: Room): string {
  if (room.name !== null && room.name !== "") return room.name;
  return room.heroes.length > 0 ? room.heroes.join(", ") : room.id;
}

export function userName(room: Room, userId: string): string {
  return room.members.get(userId)?.name ?? userId;
}
