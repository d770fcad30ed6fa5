/** Where what clients of ours know differs from what the homeserver says now. */

import { computedName, roomTrees, type Side } from "./room-trees.ts";
import { differencesOf, inWords, type Difference } from "../support/tree-difference.ts";
import type { Device, World } from "./world.ts";
import { OlderEvents } from "./older-events.ts";
import { fresh, FACES, homeservers, type Live } from "./readers.ts";
import { type Loose, type RoomView, View } from "../support/view.ts";

/** Of a room that the user was invited to by somebody whom the user ignores. */
export const BY_IGNORED = "invite by an ignored user";
const THERE = ["join", "invite", "knock"];

/** Path: face, `fresh` or `live`, then what. `traits`: what there is about the room and the world. */
export type Found = Difference & { readonly whose: string; readonly traits: readonly string[]; readonly words: string };

/** What differs for a device: of all faces, fresh and live. */
export async function compareDevice(world: World, device: Device): Promise<Found[]> {
  const { by, user } = device;
  const witness = world.witnesses.get(by) ?? user;
  const ignored = world.ignoredBy(by);
  const v2 = new View(user.userId).applyV2(await firstV2(user));
  const all: Found[] = [];
  const add = (way: readonly string[], differences: Difference[]): void => {
    for (const difference of differences) all.push(found(world, `${by} ${user.deviceId}`, { ...difference, path: [...way, ...difference.path] }));
  };
  const theirs = await homeservers(witness);
  // v2 says neither without lazy loading.
  for (const [id, room] of v2.rooms) {
    const { heroes, is_dm = false } = theirs.rooms.get(id)?.fields ?? {};
    Object.assign(room.fields, { ...(heroes && { heroes }), is_dm, "name in v3": computedName(room, user.userId, heroes as Loose[] | undefined) });
  }
  const history = new OlderEvents(world, user, v2);
  for (const face of FACES) {
    const view = await fresh(world.server.url, user, face);
    add([face, "fresh"], differ(v2, { world, view, isLive: false, ignored, isV3: face === "v3" }));
    add([face, "fresh"], await history.differences(view));
    if (face === "unstable") add(["native"], differ(theirs, { world, view, isLive: false, ignored, isNative: true }));
  }
  for (const live of device.live) {
    add([live.face, "live"], differ(v2, { world, view: live.view, isLive: true, ignored, isV3: live.face === "v3" }));
    add([live.face, "live"], await history.differences(live.view));
    add([live.face, "live"], streamDifferences(live, device, world.lost));
  }
  return all;
}

/** Nothing is read away by it: without `since`, nothing is acknowledged. */
async function firstV2(user: Device["user"]): Promise<Loose> {
  const filter = JSON.stringify({ room: { timeline: { limit: 20 } } });
  return user.call("GET", `/sync?timeout=0&filter=${encodeURIComponent(filter)}`);
}

function found(world: World, whose: string, difference: Difference): Found {
  const at = difference.path.indexOf("rooms");
  const room = at === -1 ? "" : (difference.path[at + 1] ?? "");
  return { ...difference, whose, traits: world.traits(room), words: world.inNames(`${whose}: ${inWords(withoutSame(difference))}`) };
}

/** Of two lists, what only one has, where that is all. */
function withoutSame(difference: Difference): Difference {
  const { native, ours } = difference;
  if (!Array.isArray(native) || !Array.isArray(ours)) return difference;
  const [theirs, own] = [native.filter((one) => !ours.includes(one)), ours.filter((one) => !native.includes(one))];
  return theirs.length + own.length === 0 ? difference : { ...difference, native: theirs, ours: own };
}

/** To-device messages, device lists' part is in check.ts, answers that are not as documented. */
function streamDifferences(live: Live, { sent: all }: Device, lost: ReadonlySet<number>): Difference[] {
  const faults = live.faults.map((fault) => ({ path: ["fault"], native: undefined, ours: fault }));
  if (live.face === "v4") return faults;
  // A client that has begun anew, or late, gets what was left.
  const got = live.toDevice;
  const sent = all.filter((n) => !lost.has(n) || got.includes(n));
  const expected = live.beginnings <= 1 && !live.beganLate ? sent : sent.slice(sent.length - got.length);
  return [...faults, ...differencesOf(expected, got, ["to_device"])];
}

function differ(truth: View, side: Side): Difference[] {
  const { world } = side;
  const [native, ours]: [Loose, Loose] = [{ rooms: {} }, { rooms: {} }];
  for (const id of new Set([...truth.rooms.keys(), ...side.view.rooms.keys()])) {
    const [theirs, room] = [truth.rooms.get(id), side.view.rooms.get(id)];
    const label = world.labelOf(id);
    const isThere = (one: RoomView | undefined) => one !== undefined && (side.isNative || THERE.includes(one.membership));
    // Of rooms that the user is not in, v2 says nothing from scratch.
    const isGone = theirs && room && [theirs, room].every(({ membership }) => ["leave", "ban"].includes(membership));
    if (isGone) [native["rooms"][label], ours["rooms"][label]] = [theirs.membership, room.membership];
    else if (theirs && room && isThere(theirs) && isThere(room))
      [native["rooms"][label], ours["rooms"][label]] = roomTrees(truth, theirs, room, side, id);
    else if (isThere(theirs)) native["rooms"][label] = theirs?.membership;
    else if (isThere(room)) ours["rooms"][label] = side.ignored.has(room?.inviter ?? "") ? BY_IGNORED : room?.membership;
  }
  [native["account_data"], ours["account_data"]] = [truth, side.view].map((view) => dataTree(world, view, truth));
  if (!side.isNative) {
    [native["keys"], ours["keys"]] = [truth, side.view].map(({ keys, fallbacks }) => ({
      counts: Object.fromEntries(Object.entries(keys).filter(([, count]) => count !== 0)),
      fallbacks: [...fallbacks].sort(),
    }));
  }
  return differencesOf(native, ours);
}

function dataTree(world: World, view: View, truth: View): Loose {
  const tree: Loose = { global: {}, rooms: {} };
  for (const [key, { content }] of view.accountData) {
    const [id = "", type = ""] = key.split(" ");
    if (id === "") tree["global"][type] = content;
    else if (truth.rooms.get(id)?.membership === "join") (tree["rooms"][world.labelOf(id)] ??= {})[type] = content;
  }
  return tree;
}
