/**
 * A small world as a homeserver shows it to one user in v2 responses: rooms that change at random, with all parts that v2 has.
 * For property tests: what is generated is a list of operations; those that make no sense where they stand do nothing.
 */

import fc from "fast-check";
import { ev, type Json, type MatrixEvent, newRoom, receipt, type RoomParts, toDevice, typing, v2, type V2Parts } from "./events.ts";

const OPERATIONS = [
  "message",
  "message",
  "message",
  "topic",
  "name",
  "member",
  "member",
  "typing",
  "receipt",
  "private_receipt",
  "thread_receipt",
  "tag",
  "room_data",
  "unread",
  "gap",
  "invite",
  "knock",
  "join",
  "join",
  "leave",
  "global_data",
  "presence",
  "to_device",
  "device_changed",
  "device_left",
  "counts",
] as const;

/** `room`, `who` and `value` are small numbers that choose what it is about. */
export type Operation = { readonly kind: (typeof OPERATIONS)[number]; readonly room: number; readonly who: number; readonly value: number };

/** Any operation, its numbers from 0 to `max`. */
export function anyOperation(max: number): fc.Arbitrary<Operation> {
  const small = fc.nat(max);
  return fc.record({ kind: fc.constantFrom(...OPERATIONS), room: small, who: small, value: small });
}

type Room = {
  readonly id: string;
  membership: "none" | "invite" | "knock" | "join" | "leave";
  readonly state: Map<string, MatrixEvent>;
  unread: { notification_count: number; highlight_count: number };
};

const OTHERS = ["@bob:test", "@charlie:test", "@dora:test"];
const key = (event: MatrixEvent): string => `${event.type} ${event.state_key ?? ""}`;

export class World {
  readonly me: string;
  readonly #rooms: Room[];
  #messages = 0;
  #clock = 0;
  #keys: Pick<V2Parts, "one_time_keys" | "fallback_keys"> = {};
  readonly #history: ReadonlyMap<string, readonly MatrixEvent[]>[] = [];

  constructor(me: string, rooms: number) {
    this.me = me;
    this.#rooms = Array.from({ length: rooms }, (_, index) => ({
      id: `!${index}-${me.slice(1)}`,
      membership: "none",
      state: new Map(newRoom(OTHERS[0] ?? "").map((event) => [key(event), event])),
      unread: { notification_count: 0, highlight_count: 0 },
    }));
  }

  /** The id of a room, from 0. */
  roomId(index: number): string {
    return this.#rooms[index]?.id ?? "";
  }

  /** Every member event of a room, as `/members` answers: as it was with the response that `at` ended, `s1` being the first one. */
  members(roomId: string, at: string | null): readonly MatrixEvent[] {
    return this.#history[Number(at?.slice(1) ?? this.#history.length) - 1]?.get(roomId) ?? [];
  }

  /** Carries operations out, and tells them in one v2 response. */
  respond(operations: readonly Operation[]): Json {
    const parts: V2Parts & { join: Record<string, RoomParts>; leave: Record<string, RoomParts> } = { join: {}, leave: {}, invite: {}, knock: {} };
    for (const room of this.#rooms) {
      const about = operations.filter((operation) => this.#rooms[operation.room % this.#rooms.length] === room);
      const passage = about.find((operation) => this.#isPassage(room, operation));
      if (passage) this.#pass(room, passage, parts);
      else if (room.membership === "join" && about.some((operation) => !GLOBAL.has(operation.kind))) parts.join[room.id] = this.#change(room, about);
    }
    for (const operation of operations) this.#global(operation, parts);
    const members = (room: Room) => [...room.state.values()].filter((event) => event.type === "m.room.member");
    this.#history.push(new Map(this.#rooms.map((room) => [room.id, members(room)])));
    // As of any homeserver: absent counts are counts of 0.
    return v2({ ...parts, ...this.#keys });
  }

  #isPassage(room: Room, { kind }: Operation): boolean {
    if (kind === "invite") return room.membership !== "join";
    if (kind === "knock") return room.membership === "none" || room.membership === "leave";
    if (kind === "join") return room.membership !== "join";
    return kind === "leave" && room.membership !== "none" && room.membership !== "leave";
  }

  /** The user's own membership changes. */
  #pass(room: Room, { kind, who }: Operation, parts: V2Parts & { join: Record<string, RoomParts>; leave: Record<string, RoomParts> }): void {
    const sender = kind === "invite" ? (OTHERS[who % OTHERS.length] ?? "") : this.me;
    const own = ev.member(this.me, kind, {}, { sender });
    const before = [...room.state.values()].filter((event) => key(event) !== key(own));
    room.state.set(key(own), own);
    const stripped = [{ type: own.type, state_key: this.me, sender, content: own.content }];
    if (kind === "invite") parts.invite = { ...parts.invite, [room.id]: stripped };
    else if (kind === "knock") parts.knock = { ...parts.knock, [room.id]: stripped };
    else if (kind === "join")
      parts.join[room.id] = { state: before, timeline: [own], limited: true, prev_batch: "p", summary: this.#summary(room), unread: room.unread };
    else parts.leave[room.id] = { timeline: [own] };
    room.membership = kind as Room["membership"];
  }

  /** What happens in a room that the user is in. After a gap the timeline holds the last event alone, and the state the rest. */
  #change(room: Room, operations: readonly Operation[]): RoomParts {
    const events: MatrixEvent[] = [];
    const ephemeral: Json[] = [];
    const data: Json[] = [];
    for (const operation of operations) {
      const event = this.#event(room, operation);
      if (event) {
        events.push(event);
        if (event.state_key !== undefined) room.state.set(key(event), event);
      }
      ephemeral.push(...this.#ephemeral(operation));
      data.push(...this.#roomData(operation));
      if (operation.kind === "unread") room.unread = { notification_count: operation.value, highlight_count: operation.value % 2 };
    }
    const gap = events.length > 1 && operations.some(({ kind }) => kind === "gap");
    const timeline = gap ? events.slice(-1) : events;
    const state = new Map(
      events
        .slice(0, gap ? -1 : 0)
        .filter((event) => event.state_key !== undefined)
        .map((event) => [key(event), event]),
    );
    return {
      state: [...state.values()],
      timeline,
      limited: gap,
      prev_batch: "p",
      ephemeral,
      account_data: data,
      unread: room.unread,
      summary: this.#summary(room),
    };
  }

  #event(room: Room, { kind, who, value }: Operation): MatrixEvent | null {
    const sender = [this.me, ...OTHERS][who % (OTHERS.length + 1)] ?? this.me;
    if (kind === "message") return ev.message(sender, `text ${value}`);
    if (kind === "topic") return ev.topic(sender, `topic ${value}`);
    if (kind === "name") return ev.name(sender, `name ${value}`);
    if (kind !== "member" || sender === this.me) return null;
    const is = room.state.get(`m.room.member ${sender}`)?.content["membership"];
    return ev.member(sender, is === "join" && value % 2 === 0 ? "leave" : "join", { displayname: `name ${value}` });
  }

  #ephemeral({ kind, who, value }: Operation): Json[] {
    const user = OTHERS[who % OTHERS.length] ?? "";
    if (kind === "typing") return [typing(...OTHERS.slice(0, value % (OTHERS.length + 1)))];
    // Later ones are newer, as of two in one response the newer counts.
    const ts = ++this.#clock;
    if (kind === "receipt") return [receipt(`$r${value}`, user, "m.read", { ts })];
    if (kind === "private_receipt") return [receipt(`$p${value}`, value % 2 ? this.me : user, "m.read.private", { ts })];
    return kind === "thread_receipt" ? [receipt(`$t${value}`, user, "m.read", { ts, thread_id: "main" })] : [];
  }

  #roomData({ kind, value }: Operation): Json[] {
    if (kind === "tag") return [{ type: "m.tag", content: { tags: { [`u.${value}`]: {} } } }];
    return kind === "room_data" ? [{ type: `m.data${value % 2}`, content: { value } }] : [];
  }

  #global({ kind, who, value }: Operation, parts: V2Parts): void {
    const user = OTHERS[who % OTHERS.length] ?? "";
    const lists = (parts.device_lists ??= {});
    if (kind === "global_data") (parts.account_data ??= []).push({ type: `m.global${who}`, content: { value } });
    if (kind === "presence")
      (parts.presence ??= []).push({ type: "m.presence", sender: user, content: { presence: value % 2 ? "online" : "offline" } });
    if (kind === "to_device") (parts.to_device ??= []).push(toDevice(user, { n: ++this.#messages }));
    if (kind === "device_changed") (lists.changed ??= []).push(user);
    if (kind === "device_left") (lists.left ??= []).push(user);
    if (kind === "counts") this.#keys = { one_time_keys: { signed_curve25519: value }, fallback_keys: value % 2 ? ["signed_curve25519"] : [] };
  }

  #summary(room: Room): Json {
    const joined = [...room.state.values()].filter((event) => event.type === "m.room.member" && event.content["membership"] === "join");
    return { "m.joined_member_count": joined.length, "m.invited_member_count": 0, "m.heroes": [] };
  }
}

const GLOBAL: ReadonlySet<string> = new Set([
  "global_data",
  "presence",
  "to_device",
  "device_changed",
  "device_left",
  "counts",
  "invite",
  "knock",
  "join",
  "leave",
]);
