/**
 * A small world as a homeserver shows it to one user in v2 responses, with all parts that v2 has, and what is true of it: for property tests.
 * What is generated is a list of operations; those that make no sense where they stand do nothing.
 */

import fc from "fast-check";
import { ev, type Json, type MatrixEvent, receipt, type RoomParts, toDevice, typing, v2, type V2Parts } from "./events.ts";
import { ADMIN, BOB, type Membership, OTHERS, WorldRoom } from "./world-room.ts";

/** What happens in rooms that the user is in. */
const IN_ROOMS = [
  ...(["message", "message", "message", "topic", "name", "unnamed", "avatar", "key", "member", "member", "member", "gap"] as const),
  ...(["typing", "receipt", "private_receipt", "thread_receipt", "tag", "room_data", "unread", "sticky"] as const),
] as const;
/** The user's own membership; it is in a room most of the time. */
const PASSAGES = ["invite", "knock", "join", "join", "join", "join", "join", "leave", "kick", "ban"] as const;
const OF_ACCOUNT = ["direct", "global_data"] as const;
const OF_DEVICE = ["profile", "presence", "to_device", "device_changed", "device_left", "counts"] as const;

type Kind = (typeof IN_ROOMS)[number] | (typeof PASSAGES)[number] | (typeof OF_ACCOUNT)[number] | (typeof OF_DEVICE)[number];
/** Some more often than others. `rooms`: without what concerns devices and presence. */
export const KINDS = {
  rooms: [...IN_ROOMS, ...PASSAGES, ...OF_ACCOUNT],
  all: [...IN_ROOMS, ...PASSAGES, ...OF_ACCOUNT, ...OF_DEVICE],
} as const satisfies Record<string, readonly Kind[]>;

/** `room`, `who` and `value` are small numbers that choose what it is about. */
export type Operation = { readonly kind: Kind; readonly room: number; readonly who: number; readonly value: number };

/** Any operation, its numbers from 0 to `max`. */
export function anyOperation(max: number, kinds: readonly Kind[] = KINDS.all): fc.Arbitrary<Operation> {
  const small = fc.nat(max);
  return fc.record({ kind: fc.constantFrom(...kinds), room: small, who: small, value: small });
}

/** The user joins a room. */
export function joins(room: number, value = 0): Operation {
  return { kind: "join", room, who: 0, value };
}

type Sections = V2Parts & {
  join: Record<string, RoomParts>;
  leave: Record<string, RoomParts>;
  invite: Record<string, Json[]>;
  knock: Record<string, Json[]>;
};

export class RandomWorld {
  readonly me: string;
  readonly rooms: readonly WorldRoom[];
  /** Responses so far. */
  step = 0;
  /** Type → event. */
  readonly global = new Map<string, Json>();
  readonly direct = new Set<string>();
  #active = 0;
  #messages = 0;
  #clock = 0;
  #keys: Pick<V2Parts, "one_time_keys" | "fallback_keys"> = {};
  /** Every room's members, after each response. */
  readonly #history: ReadonlyMap<string, readonly MatrixEvent[]>[] = [];
  /** Which leaving of a room was so long ago that nothing of the room is stored. */
  readonly #purged = new Map<WorldRoom, number>();

  constructor(me: string, rooms: number) {
    this.me = me;
    this.rooms = Array.from({ length: rooms }, (_, index) => new WorldRoom(`!${index}-${me.slice(1)}`));
  }

  room(id: string): WorldRoom | undefined {
    return this.rooms.find((room) => room.id === id);
  }

  /** Every member event of a room, as `/members` answers: as it was with the response that `at` ended, `s1` being the first one; null: the newest. */
  members(roomId: string, at: string | null): readonly MatrixEvent[] {
    return this.#history[Number(at?.slice(1) ?? this.#history.length) - 1]?.get(roomId) ?? [];
  }

  /** What was known of these rooms is deleted: the user has left them long ago. */
  purge(ids: readonly string[]): void {
    for (const room of this.rooms) {
      if (!ids.includes(room.id)) continue;
      this.#purged.set(room, room.movedAt);
      room.hasHistory = false;
      room.wasPurged = true;
      room.accountData.clear();
    }
  }

  isPurged(room: WorldRoom): boolean {
    return this.#purged.get(room) === room.movedAt;
  }

  /** Of a purged room nobody knows any more that it was one. */
  isDm(room: WorldRoom): boolean {
    return this.direct.has(room.id) && !this.isPurged(room);
  }

  tagsOf(room: WorldRoom): string[] {
    return this.isPurged(room) ? [] : room.tags;
  }

  /** Carries operations out, and sends them in one v2 response. */
  respond(operations: readonly Operation[]): Json {
    this.step += 1;
    const parts: Sections = { join: {}, leave: {}, invite: {}, knock: {} };
    const times = new Map<WorldRoom, number>();
    for (const room of this.rooms) {
      const about = operations.filter((one) => this.rooms[one.room % this.rooms.length] === room);
      const passage = about.find((one) => canPass(room, one.kind));
      const newest = passage ? this.#pass(room, passage, parts) : room.membership === "join" ? this.#change(room, about, parts) : undefined;
      if (newest !== undefined) times.set(room, newest);
    }
    for (const [room] of [...times].toSorted(([a, x], [b, y]) => x - y || (a.id < b.id ? -1 : 1))) room.active = ++this.#active;
    for (const one of operations) this.#ofAccount(one, parts);
    for (const one of operations) this.#ofDevice(one, parts);
    this.#history.push(new Map(this.rooms.map((room) => [room.id, room.members()])));
    // As of any homeserver: absent counts are counts of 0.
    return v2({ ...parts, ...this.#keys });
  }

  /** The user's own membership changes; gives the time of what is newest. */
  #pass(room: WorldRoom, { kind, who, value }: Operation, parts: Sections): number {
    const byOther = kind === "invite" || kind === "kick" || kind === "ban";
    const membership = kind === "kick" ? "leave" : (kind as Exclude<Membership, "none">);
    const sender = byOther ? ADMIN : this.me;
    const wasIn = room.membership === "join";
    // While the user was away, things went on.
    if (kind === "join") for (const event of [ev.topic(ADMIN, `away ${value}`), ev.member(other(who), value % 2 ? "join" : "leave")]) room.put(event);
    const before = [...room.state.values()].filter((event) => event.state_key !== this.me);
    const own = ev.member(this.me, membership, {}, { sender });
    room.put(own);
    Object.assign(room, {
      membership,
      kicked: membership === "leave" && byOther,
      movedAt: this.step,
      everJoined: room.everJoined || kind === "join",
      hasHistory: room.hasHistory || kind === "join",
    });
    room.typing = [];
    if (kind === "invite" || kind === "knock") {
      parts[kind][room.id] = [{ type: own.type, state_key: this.me, sender, content: own.content }];
      return Number.MAX_SAFE_INTEGER;
    }
    if (kind === "join") {
      // What came before is not sent; the newest events of it may be.
      const timeline = value % 3 === 0 ? [ev.message(ADMIN, "before"), own] : [own];
      const { unread } = room;
      parts.join[room.id] = {
        state: before,
        timeline,
        limited: true,
        prev_batch: "p",
        summary: room.summary(this.me),
        unread,
        sticky: [...room.sticky],
      };
      sent(room, timeline, true);
    } else {
      room.unread = { notification_count: 0, highlight_count: 0 };
      const last = wasIn ? [ev.message(ADMIN, "farewell"), own] : [own];
      parts.leave[room.id] = { timeline: last };
      sent(room, last, false);
    }
    return own.origin_server_ts;
  }

  /** What happens in a room that the user is in. After a gap the timeline holds the last event alone, and the state the rest. */
  #change(room: WorldRoom, operations: readonly Operation[], parts: Sections): number | undefined {
    if (!operations.some(({ kind }) => isOneOf(IN_ROOMS, kind))) return undefined;
    const events = operations.flatMap((one) => this.#event(room, one) ?? []);
    const ephemeral = operations.flatMap((one) => this.#ephemeral(room, one));
    const data = operations.flatMap((one) => roomData(one));
    for (const item of data) room.accountData.set(String(item["type"]), item);
    for (const { kind, value } of operations) {
      if (kind === "unread") room.unread = { notification_count: value, highlight_count: value % 2 };
    }
    const gap = events.length > 0 && operations.some(({ kind }) => kind === "gap");
    const timeline = gap ? events.slice(-1) : events;
    const missed = gap ? events.slice(0, -1).filter((event) => event.state_key !== undefined) : [];
    // Half of them are in no timeline.
    const beside = operations.flatMap((one) => (one.kind === "sticky" && one.value % 2 === 0 ? [ev.sticky(other(one.who))] : []));
    const ofTimeline = events.filter((event) => event["msc4354_sticky"] !== undefined);
    room.sticky.push(...beside, ...ofTimeline);
    parts.join[room.id] = {
      state: [...new Map(missed.map((event) => [`${event.type}|${event.state_key}`, event])).values()],
      timeline,
      limited: gap,
      prev_batch: "p",
      ephemeral,
      sticky: [...beside, ...ofTimeline.filter((event) => !timeline.includes(event))],
      account_data: data,
      unread: room.unread,
      summary: room.summary(this.me),
    };
    sent(room, timeline, gap);
    return timeline.at(-1)?.origin_server_ts;
  }

  #event(room: WorldRoom, operation: Operation): MatrixEvent | null {
    const event = this.#made(room, operation);
    if (event?.state_key !== undefined) room.put(event);
    return event;
  }

  /** By users who are in the room, or by any. */
  #made(room: WorldRoom, { kind, who, value }: Operation): MatrixEvent | null {
    const senders = value % 2 === 1 ? [this.me, ...OTHERS] : room.members("join").map((event) => event.sender);
    const sender = senders[who % senders.length] ?? this.me;
    const made: Partial<Record<Kind, () => MatrixEvent | null>> = {
      message: () => ev.message(sender, `text ${value}`),
      sticky: () => (value % 2 === 1 ? ev.sticky(other(who)) : null),
      topic: () => ev.topic(sender, `topic ${value}`),
      name: () => ev.name(sender, `name ${value}`),
      unnamed: () => ev.name(sender, ""),
      avatar: () => ev.state("m.room.avatar", "", sender, value % 3 === 0 ? {} : { url: `mxc://test/${value}` }),
      key: () => ev.state("im.key", ["a", "b", BOB][value % 3] ?? "", sender, { value }),
      member: () => ev.member(other(who), ["join", "join", "leave", "invite"][value % 4], { displayname: `name ${value}` }),
    };
    return made[kind]?.() ?? null;
  }

  #ephemeral(room: WorldRoom, { kind, who, value }: Operation): Json[] {
    if (kind === "typing") {
      room.typing = OTHERS.slice(0, value % (OTHERS.length + 1));
      return [typing(...room.typing)];
    }
    const read = (user: string, receiptKind: string, event: string, thread?: string) => {
      if (receiptKind === "m.read" || user === this.me) room.receipts.set(`${user} ${receiptKind} ${thread ?? ""}`, event);
      // Later ones are newer, as of two in one response the newer counts.
      const data = { ts: ++this.#clock, ...(thread !== undefined && { thread_id: thread }) };
      return [receipt(event, user, receiptKind, data)];
    };
    // Also of events that were never sent.
    const newest = (value % 5 === 4 ? undefined : room.timeline.at(-1 - (value % 4))?.id) ?? `$r${value}`;
    if (kind === "receipt") return read([this.me, ...OTHERS][who % (OTHERS.length + 1)] ?? this.me, "m.read", newest);
    if (kind === "private_receipt") return read(value % 3 === 0 ? other(who) : this.me, "m.read.private", newest);
    // T9: on an event that has an unthreaded receipt of the user, a threaded one does not show.
    return kind === "thread_receipt" ? read(other(who), "m.read", `$t${value}`, "main") : [];
  }

  #ofAccount({ kind, room, value }: Operation, parts: Sections): void {
    if (kind === "global_data") this.#data(parts, { type: `m.global${value % 2}`, content: { value } });
    const { id, membership } = this.rooms[room % this.rooms.length] ?? new WorldRoom("");
    // What an invite was said to be, it stays until it is answered.
    if (kind !== "direct" || membership === "invite") return;
    if (!this.direct.delete(id)) this.direct.add(id);
    this.#data(parts, { type: "m.direct", content: { [BOB]: [...this.direct] } });
  }

  /** Where one type comes twice in a response, the later one counts. */
  #data(parts: Sections, event: Json): void {
    this.global.set(String(event["type"]), event);
    (parts.account_data ??= []).push(event);
  }

  #ofDevice({ kind, who, value }: Operation, parts: Sections): void {
    const user = other(who);
    const lists = (parts.device_lists ??= {});
    // Some have the field no more, some share no room any more.
    if (kind === "profile")
      (parts.profiles ??= {})[user] = value % 5 === 0 ? null : { "m.status": value % 3 === 0 ? null : value, displayname: user };
    if (kind === "presence")
      (parts.presence ??= []).push({ type: "m.presence", sender: user, content: { presence: value % 2 ? "online" : "offline" } });
    if (kind === "to_device") (parts.to_device ??= []).push(toDevice(user, { n: ++this.#messages }));
    if (kind === "device_changed") (lists.changed ??= []).push(user);
    if (kind === "device_left") (lists.left ??= []).push(user);
    if (kind === "counts") this.#keys = { one_time_keys: { signed_curve25519: value }, fallback_keys: value % 2 ? ["signed_curve25519"] : [] };
  }
}

function isOneOf(kinds: readonly Kind[], kind: Kind): boolean {
  return kinds.includes(kind);
}

function sent(room: WorldRoom, events: readonly MatrixEvent[], gap: boolean): void {
  room.timeline.push(...events.map((event, index) => ({ id: event.event_id, gap: gap && index === 0 })));
}

function canPass({ membership }: WorldRoom, kind: Kind): boolean {
  const isOut = membership === "none" || membership === "leave";
  if (kind === "join") return membership !== "join" && membership !== "ban";
  if (kind === "invite" || kind === "knock") return isOut || (kind === "invite" && membership !== "invite" && membership !== "join");
  if (kind === "ban") return membership === "join";
  return (kind === "leave" || kind === "kick") && !isOut && membership !== "ban";
}

function other(who: number): string {
  return OTHERS[who % OTHERS.length] ?? BOB;
}

function roomData({ kind, value }: Operation): Json[] {
  if (kind === "tag") return [{ type: "m.tag", content: { tags: value % 2 === 0 ? {} : { "u.x": {}, [`u.${value}`]: {} } } }];
  return kind === "room_data" ? [{ type: `m.data${value % 2}`, content: { value } }] : [];
}
