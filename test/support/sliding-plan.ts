/** What a client of a property test asks for, and which rooms that is about by the rules of MSC4186, told from what is true. */

import type { Json } from "./events.ts";
import type { Ask, AskedConfig, DialectName } from "./sliding.ts";
import type { RandomWorld } from "./random-world.ts";
import type { AskedState, View } from "./view.ts";
import { STICKY_EVENTS } from "./sliding.ts";
import { BOB, type WorldRoom } from "./world-room.ts";

const MEMBER = "m.room.member";
type Tuples = readonly (readonly [string, string])[];

/** What is asked for of state. */
export const STATES: readonly Tuples[] = [
  [],
  [["m.room.name", ""]],
  [
    ["m.room.topic", ""],
    [MEMBER, "$LAZY"],
  ],
  [
    [MEMBER, "$LAZY"],
    [MEMBER, "$ME"],
    ["im.key", "*"],
  ],
  [
    ["*", "*"],
    [MEMBER, "$LAZY"],
  ],
  [["*", "*"]],
  [
    ["*", "a"],
    [MEMBER, BOB],
  ],
  [[MEMBER, "*"]],
  [["*", BOB]],
];

type Filter = { readonly asked: Json; readonly holds: (room: WorldRoom, world: RandomWorld) => boolean };
export const FILTERS: readonly Filter[] = [
  { asked: {}, holds: () => true },
  { asked: { is_dm: true }, holds: (room, world) => world.isDm(room) },
  { asked: { is_dm: false }, holds: (room, world) => !world.isDm(room) },
  { asked: { tags: ["u.x"] }, holds: (room, world) => world.tagsOf(room).includes("u.x") },
  { asked: { not_tags: ["u.x"] }, holds: (room, world) => !world.tagsOf(room).includes("u.x") },
  { asked: { is_invite: true }, holds: (room) => room.membership === "invite" },
  { asked: { is_invite: false }, holds: (room) => room.membership !== "invite" },
];

/** Numbers stand for places in STATES and FILTERS, and in the world's rooms. */
export type PlannedConfig = { readonly limit: number; readonly state: number };
export type Plan = {
  readonly lists: readonly (PlannedConfig & { readonly range: readonly [number, number]; readonly filter: number })[];
  readonly subs: readonly (PlannedConfig & { readonly room: number })[];
  readonly extensions: readonly string[];
};

/** When a connection was last told of each room, as a count of responses. */
export type ToldAt = ReadonlyMap<string, number>;

/** @param stickySince what the client has acknowledged of sticky events */
export function askOf(plan: Plan, world: RandomWorld, stickySince?: string): Ask {
  const config = ({ limit, state }: PlannedConfig): AskedConfig => ({ limit, state: STATES[state] ?? [] });
  return {
    lists: Object.fromEntries(
      plan.lists.map((list, index) => [`l${index}`, { ...config(list), ranges: [list.range], filters: FILTERS[list.filter]?.asked ?? {} }]),
    ),
    subs: Object.fromEntries(plan.subs.map((sub) => [world.rooms[sub.room]?.id ?? "!none", config(sub)])),
    ext: Object.fromEntries(
      plan.extensions.map((name) => [name, { enabled: true, ...(name === STICKY_EVENTS && stickySince !== undefined && { since: stickySince }) }]),
    ),
  };
}

/** The rooms of each list, in order. */
export function listsOf(plan: Plan, world: RandomWorld, view: View, toldAt: ToldAt): WorldRoom[][] {
  const listed = world.rooms.filter((room) => isListed(room, view, toldAt)).toSorted((a, b) => b.active - a.active);
  return plan.lists.map(({ filter }) => listed.filter((room) => FILTERS[filter]?.holds(room, world)));
}

/** What is asked of a room. */
export type Scoped = AskedState & { readonly limit: number };

/** The rooms in a window or subscribed to, and what is asked of each. */
export function scopeOf(plan: Plan, world: RandomWorld, view: View, dialect: DialectName, toldAt: ToldAt): Map<string, Scoped> {
  const configs = new Map<string, PlannedConfig[]>();
  const add = (room: WorldRoom, config: PlannedConfig) => configs.set(room.id, [...(configs.get(room.id) ?? []), config]);
  for (const [index, rooms] of listsOf(plan, world, view, toldAt).entries()) {
    const list = plan.lists[index];
    if (list) for (const room of rooms.slice(list.range[0], list.range[1] + 1)) add(room, list);
  }
  for (const sub of plan.subs) {
    const room = world.rooms[sub.room];
    if (room && isAccessible(room, view)) add(room, sub);
  }
  return new Map([...configs].map(([id, of]) => [id, combined(of, world.me, dialect)]));
}

function isListed(room: WorldRoom, view: View, toldAt: ToldAt): boolean {
  const told = toldAt.get(room.id);
  switch (room.membership) {
    case "none":
      return false;
    case "ban":
      return room.everJoined || view.rooms.has(room.id);
    case "leave":
      return room.kicked || (told !== undefined && told < room.movedAt);
    case "join":
    case "invite":
    case "knock":
      return true;
  }
}

/** The rooms whose sticky events are sent: those that a list matches, in its window or not, and subscribed ones. */
export function stickyScopeOf(plan: Plan, world: RandomWorld, view: View, toldAt: ToldAt): WorldRoom[] {
  const subscribed = plan.subs.flatMap(({ room }) => world.rooms[room] ?? []).filter((room) => isAccessible(room, view));
  return [...listsOf(plan, world, view, toldAt).flat(), ...subscribed].filter((room) => room.membership === "join");
}

function isAccessible(room: WorldRoom, view: View): boolean {
  if (room.membership === "leave" || room.membership === "ban") return room.everJoined || room.kicked || view.rooms.has(room.id);
  return room.membership !== "none";
}

function combined(configs: readonly PlannedConfig[], me: string, dialect: DialectName): Scoped {
  const states = configs.map(({ state }) => STATES[state] ?? []);
  return {
    limit: Math.max(...configs.map(({ limit }) => limit)),
    lazy: states.some((tuples) => tuples.some(isLazy)),
    matches: (type, key) => states.some((tuples) => matches(tuples, type, key, me, dialect)),
  };
}

function matches(tuples: Tuples, type: string, key: string, me: string, dialect: DialectName): boolean {
  // A match for everything does not bring members where a tuple says which, in v4 where they come lazily.
  const narrowed = dialect === "v4" ? tuples.some(isLazy) : tuples.some(([asked]) => asked === MEMBER);
  return tuples.some((tuple) => {
    const [askedType, askedKey] = tuple;
    if (isLazy(tuple) || (narrowed && type === MEMBER && askedType === "*" && askedKey === "*")) return false;
    return (askedType === "*" || askedType === type) && (askedKey === "*" || (askedKey === "$ME" ? me : askedKey) === key);
  });
}

function isLazy([type, key]: readonly [string, string]): boolean {
  return type === MEMBER && key === "$LAZY";
}
