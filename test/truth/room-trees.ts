/** What the homeserver and we say of a room, as trees of the same shape. */

import { computeRoomName } from "../../src/wire/room-name.ts";
import type { World } from "./world.ts";
import type { Loose, RoomView, View } from "../support/view.ts";

/** `isNative`: the homeserver's sliding sync is held against it: the ids of events alone. */
export type Side = {
  readonly world: World;
  readonly view: View;
  readonly isLive: boolean;
  readonly ignored: ReadonlySet<string>;
  readonly isNative?: boolean;
  readonly isV3?: boolean;
};

/**
 * What both have of a timeline: the newest part that is as long in both, without ignored users' messages. In a room with a "hidden past",
 * what Synapse shows of what the user may not read is present state, another part of it each time: it begins with the user's own coming. In a "purged" one
 * it leaves out redactions of events that are gone.
 */
function tailsOf(theirs: RoomView, ours: RoomView, { view, ignored }: Side, traits: readonly string[]): readonly [Loose[], Loose[]] {
  const isOwnJoin = (event: Loose) => event["type"] === "m.room.member" && event["state_key"] === view.me && event["content"].membership === "join";
  const [first, second] = [theirs, ours].map(({ timeline }) => {
    const shown = timeline
      .filter((event) => event["state_key"] !== undefined || !ignored.has(event["sender"] as string))
      .filter((event) => !(traits.includes("purged") && event["type"] === "m.room.redaction"));
    return traits.includes("hidden past") ? shown.slice(Math.max(0, shown.findLastIndex(isOwnJoin))) : shown;
  }) as [Loose[], Loose[]];
  const length = Math.min(first.length, second.length);
  return [first.slice(first.length - length), second.slice(second.length - length)];
}

/** A room as both know it. */
export function roomTrees(truth: View, theirs: RoomView, ours: RoomView, side: Side, id: string): [Loose, Loose] {
  const { world } = side;
  const traits = world.traits(world.labelOf(id));
  const tails = tailsOf(theirs, ours, side, traits);
  const tail = (room: RoomView) => tails[room === theirs ? 0 : 1];
  // What was redacted before a purge stays so with us (S4).
  const redactedBy = traits.includes("purged") ? [theirs, ours] : [theirs];
  const redacted = new Set(
    redactedBy.flatMap((room) => [...tail(room), ...room.state.values()].filter(isRedacted).map((event) => event["event_id"] as string)),
  );
  const hidesRedacted = side.isLive || traits.includes("purged");
  const ids = new Set(tail(theirs).map((event) => event["event_id"] as string));
  const isShort = ours.timeline.length < theirs.timeline.length && tail(ours).length === ours.timeline.length && !ours.limited;
  // Timelines that are not limited have no bundles, and ours may be limited where the homeserver's is not (the room's beginning was not asked for).
  const isBundled = !side.isLive && theirs.limited === ours.limited;
  const eventOf = (event: Loose) => eventTree(event, hidesRedacted && redacted.has(event["event_id"] as string));
  const treeOf = (room: RoomView, view: View): Loose => ({
    membership: room.membership,
    stripped: Object.fromEntries(room.stripped.map(({ type, state_key, content }) => [`${type}|${state_key}`, content])),
    state: Object.fromEntries([...room.state].map(([key, event]) => [key, eventOf(event)])),
    fields: fieldTree(room, theirs, ours, id, side),
    timeline: tail(room).map((event) => `${event["type"]} ${event["event_id"]}`),
    ...(!side.isNative && eventsOf(room, view)),
  });
  const eventsOf = (room: RoomView, view: View): Loose => ({
    events: Object.fromEntries(
      tail(room).map((event) => [event["event_id"], { ...eventOf(event), ...(isBundled && { relations: relations(event) }) }]),
    ),
    ...(isShort && { "has more": room === theirs }),
    receipts: receiptTree(view, id, ids, unthreaded(id, truth, side.view)),
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

const FIELDS = ["name", "avatar", "heroes", "joined_count", "invited_count", "notification_count", "highlight_count", "is_dm"];

/** What both say. */
function fieldTree(room: RoomView, theirs: RoomView, ours: RoomView, id: string, { view, isV3 = false }: Side): Loose {
  const oursSent: Loose = { ...ours.fields, ...view.listed.get(id)?.fields };
  const isCompared = (name: string) => {
    // M12: an invite that calls itself direct is, until it is answered.
    if (name === "is_dm") return "is_dm" in theirs.fields && theirs.membership === "join";
    return name !== "heroes" || (theirs.fields["heroes"] !== undefined && theirs.fields["name"] === undefined);
  };
  const sent = room === ours ? oursSent : room.fields;
  const value = (name: string): unknown => {
    if (name === "heroes") return ((sent[name] ?? []) as Loose[]).map((hero) => hero["user_id"] as string).sort();
    return sent[name === "name" && isV3 && room === theirs ? "name in v3" : name] ?? undefined;
  };
  const names = FIELDS.filter((name) => name in oursSent || ["name", "avatar", "heroes"].includes(name));
  return Object.fromEntries(names.filter(isCompared).map((name) => [name, value(name)]));
}

/** S5: v3's lists name every room that can be named. */
export function computedName({ state, fields }: RoomView, me: string, heroes: readonly Loose[] = []): string | undefined {
  return computeRoomName({
    name: fields["name"] as string | undefined,
    alias: state.get("m.room.canonical_alias|")?.["content"]?.alias,
    heroes: heroes.map(({ user_id }) => ({
      user_id: user_id as string,
      displayname: state.get(`m.room.member|${user_id}`)?.["content"]?.displayname,
    })),
    joined: fields["joined_count"] as number,
    invited: fields["invited_count"] as number,
    me,
  });
}

/** Of the events that both have; M50: a room that is told in full has those alone. `hidden`: beside which no threaded ones count. */
function receiptTree(view: View, id: string, ids: ReadonlySet<string>, hidden: ReadonlySet<string>): Loose {
  const tree: Loose = {};
  const all = receiptsOf(view, id).filter(({ user, kind, event }) => ids.has(event) && (kind !== "m.read.private" || user === view.me));
  for (const { user, kind, thread, event } of all) {
    if (thread === "" || !hidden.has(`${user} ${event}`)) tree[`${user} ${kind} ${thread}`] = event;
    else if (hidden.has(`${user} ${event} ${kind}`)) tree[`${user} ${kind} `] ??= `${IN_A_THREAD}: ${event}`;
  }
  return tree;
}

export const IN_A_THREAD = "in a thread alone";

/** T9: beside an unthreaded receipt of a user on an event, Synapse's first answers have no threaded one of any kind. */
function unthreaded(id: string, ...views: readonly View[]): Set<string> {
  const all = views.flatMap((view) => receiptsOf(view, id)).filter(({ thread }) => thread === "");
  return new Set(all.flatMap(({ user, event, kind }) => [`${user} ${event}`, `${user} ${event} ${kind}`]));
}

function receiptsOf(view: View, id: string) {
  return [...view.receipts].flatMap(([key, { event }]) => {
    const [room, user = "", kind = "", thread = ""] = key.split(" ");
    return room === id ? [{ user, kind, thread, event }] : [];
  });
}
