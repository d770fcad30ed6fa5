/** Where what clients of ours know differs from what the homeserver says now. */

import { differencesOf, inWords, type Difference } from "../support/tree-difference.ts";
import type { Device, World } from "./world.ts";
import { fresh, FACES, native, type Live } from "./readers.ts";
import { type Loose, type RoomView, View } from "./view.ts";

/** Path: face, `fresh` or `live`, then what. `traits`: what there is about the room and the world. */
export type Found = Difference & { readonly whose: string; readonly traits: readonly string[]; readonly words: string };

type Side = { readonly view: View; readonly isLive: boolean; readonly ignored: ReadonlySet<string>; readonly isNative?: boolean };

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
  for (const face of FACES) {
    const view = await fresh(world.server.url, user, face);
    add([face, "fresh"], differ(world, v2, { view, isLive: false, ignored }));
    if (face === "unstable") add(["native"], differ(world, await native(witness), { view, isLive: false, ignored, isNative: true }));
  }
  for (const live of device.live) {
    add([live.face, "live"], differ(world, v2, { view: live.view, isLive: true, ignored }));
    add([live.face, "live"], streamDifferences(live, device));
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
  return { ...difference, whose, traits: world.traits(room), words: world.inNames(`${whose}: ${inWords(difference)}`) };
}

/** To-device messages, device lists' part is in check.ts, answers that are not as documented. */
function streamDifferences(live: Live, { sent }: Device): Difference[] {
  const faults = live.faults.splice(0).map((fault) => ({ path: ["fault"], native: undefined, ours: fault }));
  if (live.face === "v4") return faults;
  // A client that has begun anew gets what was left.
  const got = live.toDevice;
  const expected = live.beginnings <= 1 ? sent : sent.slice(-got.length);
  return [...faults, ...differencesOf(expected, got, ["to_device"])];
}

function differ(world: World, truth: View, side: Side): Difference[] {
  const [native, ours]: [Loose, Loose] = [{ rooms: {} }, { rooms: {} }];
  for (const id of new Set([...truth.rooms.keys(), ...side.view.rooms.keys()])) {
    const [theirs, room] = [truth.rooms.get(id), side.view.rooms.get(id)];
    const label = world.labelOf(id);
    const isThere = (one: RoomView | undefined) => one !== undefined && (side.isNative || ["join", "invite", "knock"].includes(one.membership));
    if (theirs && room && isThere(theirs) && isThere(room)) [native["rooms"][label], ours["rooms"][label]] = roomTrees(truth, theirs, room, side, id);
    else if (isThere(theirs)) native["rooms"][label] = theirs?.membership;
    else if (isThere(room)) ours["rooms"][label] = room?.membership;
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
  for (const [key, content] of view.accountData) {
    const [id = "", type = ""] = key.split(" ");
    if (id === "") tree["global"][type] = content;
    else if (truth.rooms.get(id)?.membership === "join") (tree["rooms"][world.labelOf(id)] ??= {})[type] = content;
  }
  return tree;
}

/** Of what both have of the timeline, the newest part that is as long in both. */
function roomTrees(truth: View, theirs: RoomView, ours: RoomView, side: Side, id: string): [Loose, Loose] {
  const shown = (room: RoomView) => room.timeline.filter((event) => event["state_key"] !== undefined || !side.ignored.has(event["sender"] as string));
  const length = Math.min(shown(theirs).length, shown(ours).length);
  const tail = (room: RoomView) => shown(room).slice(-length || Infinity);
  const redacted = new Set([...tail(theirs), ...theirs.state.values()].filter(isRedacted).map((event) => event["event_id"] as string));
  const ids = new Set(tail(theirs).map((event) => event["event_id"] as string));
  const isShort = shown(ours).length < shown(theirs).length && !ours.limited;
  const eventOf = (event: Loose) => eventTree(event, side.isLive && redacted.has(event["event_id"] as string));
  const treeOf = (room: RoomView, view: View): Loose => ({
    membership: room.membership,
    stripped: Object.fromEntries(room.stripped),
    state: Object.fromEntries([...room.state].map(([key, event]) => [key, eventOf(event)])),
    timeline: tail(room).map((event) => `${event["type"]} ${event["event_id"]}`),
    events: Object.fromEntries(
      tail(room).map((event) => [event["event_id"], { ...eventOf(event), ...(!side.isLive && { relations: relations(event) }) }]),
    ),
    ...(isShort && { "has more": room === theirs }),
    fields: fieldTree(room, theirs, ours),
    receipts: receiptTree(view, id, ids),
    typing: view.typing.get(id) ?? [],
  });
  return [treeOf(theirs, truth), treeOf(ours, side.view)];
}

function isRedacted(event: Loose): boolean {
  return event["redacted"] === true || event["unsigned"]?.redacted_because !== undefined;
}

function eventTree(event: Loose, isRedactedLater: boolean): Loose {
  const { event_id: id, sender, type } = event;
  if (isRedactedLater) return { id, sender, type };
  return { id, sender, type, content: event["content"], ...(isRedacted(event) && { redacted: true }) };
}

/** Bundled relations, without what grows old. */
function relations(event: Loose): unknown {
  const text = JSON.stringify(event["unsigned"]?.["m.relations"] ?? {}, (key: string, value: unknown) =>
    ["age", "room_id", "membership", "transaction_id", "m.relations"].includes(key) ? undefined : value,
  );
  return JSON.parse(text) as unknown;
}

/** What both say. */
function fieldTree(room: RoomView, theirs: RoomView, ours: RoomView): Loose {
  const names = Object.keys(ours.fields).filter((name) => name !== "heroes" || (theirs.fields["heroes"] !== undefined && !theirs.fields["name"]));
  const value = (name: string) => (name === "heroes" ? [...((room.fields[name] as string[] | undefined) ?? [])].sort() : room.fields[name]);
  return Object.fromEntries(
    [...new Set([...names, "name", "avatar"])].filter((name) => name !== "is_dm" || "is_dm" in theirs.fields).map((name) => [name, value(name)]),
  );
}

/** Of the events that both have; M50: a room that is told in full has those alone. */
function receiptTree(view: View, id: string, ids: ReadonlySet<string>): Loose {
  const all = [...view.receipts].flatMap(([key, event]) => {
    const [room, user, kind, thread] = key.split(" ");
    const isShown = room === id && ids.has(event) && (kind !== "m.read.private" || user === view.me);
    return isShown ? [[`${user} ${kind} ${thread}`, event] as const] : [];
  });
  return Object.fromEntries(all);
}
