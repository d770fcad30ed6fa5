/**
 * A user's rooms as a homeserver tells them in v2 responses, and what is true of them: for property tests of sliding sync.
 * What is generated is a list of happenings; those that make no sense where they stand do nothing.
 */

import { ev, type Json, type MatrixEvent, newRoom, receipt, type RoomParts, typing, v2, type V2Parts } from "./events.ts";

export const HAPPENINGS = [
  "message",
  "message",
  "message",
  "topic",
  "name",
  "unnamed",
  "avatar",
  "key",
  "member",
  "member",
  "gap",
  "typing",
  "receipt",
  "tag",
  "room_data",
  "unread",
  "direct",
  "global",
  "invite",
  "knock",
  "join",
  "join",
  "join",
  "leave",
  "kick",
  "ban",
] as const;

/** `room`, `who` and `value` are small numbers that choose what it is about. */
export type Happening = { readonly what: (typeof HAPPENINGS)[number]; readonly room: number; readonly who: number; readonly value: number };

export const BOB = "@bob:test";
const OTHERS = [BOB, "@charlie:test", "@dora:test"];
const ADMIN = "@admin:test";

export class WorldRoom {
  readonly id: string;
  membership: "none" | "invite" | "knock" | "join" | "leave" | "ban" = "none";
  /** Left by somebody else's doing. */
  kicked = false;
  everJoined = false;
  /** The server has what was told of it while the user was in. */
  hasHistory = false;
  /** What was known of it was deleted once. */
  wasPurged = false;
  /** Which response the membership came with. */
  movedAt = 0;
  /** Greater: more recent. */
  active = 0;
  /** `type|key` → event. */
  readonly state = new Map<string, MatrixEvent>();
  /** As it was told, oldest first; `gap`: something is missing before it. */
  readonly timeline: { readonly id: string; readonly gap: boolean }[] = [];
  unread = { notification_count: 0, highlight_count: 0 };
  readonly accountData = new Map<string, string>();
  /** `user kind` → event id. */
  readonly receipts = new Map<string, string>();
  typing: readonly string[] = [];

  constructor(id: string) {
    this.id = id;
    for (const event of [...newRoom(ADMIN), ev.member(BOB)]) this.put(event);
  }

  put(event: MatrixEvent): void {
    this.state.set(`${event.type}|${event.state_key}`, event);
  }

  content(key: string): Json {
    return this.state.get(key)?.content ?? {};
  }

  members(membership?: string): MatrixEvent[] {
    const all = [...this.state.values()].filter((event) => event.type === "m.room.member");
    return membership === undefined ? all : all.filter((event) => event.content["membership"] === membership);
  }

  get tags(): string[] {
    const data = JSON.parse(this.accountData.get("m.tag") ?? "{}") as { content?: { tags?: Json } };
    return Object.keys(data.content?.tags ?? {});
  }

  /** Who names the room. */
  heroes(me: string): string[] {
    return [...this.members("join"), ...this.members("invite")].map((event) => event.state_key ?? "").filter((user) => user !== me);
  }
}

type Sections = V2Parts & {
  join: Record<string, RoomParts>;
  leave: Record<string, RoomParts>;
  invite: Record<string, Json[]>;
  knock: Record<string, Json[]>;
};

export class SlidingWorld {
  readonly me: string;
  readonly rooms: readonly WorldRoom[];
  /** Responses so far. */
  step = 0;
  readonly global = new Map<string, string>();
  readonly direct = new Set<string>();
  #active = 0;
  /** Which leaving of a room was so long ago that nothing of the room is kept. */
  readonly #purged = new Map<WorldRoom, number>();

  constructor(me: string, rooms: number) {
    this.me = me;
    this.rooms = Array.from({ length: rooms }, (_, index) => new WorldRoom(`!${index}-${me.slice(1)}`));
  }

  room(id: string): WorldRoom | undefined {
    return this.rooms.find((room) => room.id === id);
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

  /** Carries happenings out, and tells them in one v2 response. */
  respond(happenings: readonly Happening[]): Json {
    this.step += 1;
    const parts: Sections = { join: {}, leave: {}, invite: {}, knock: {} };
    const times = new Map<WorldRoom, number>();
    for (const room of this.rooms) {
      const about = happenings.filter((one) => this.rooms[one.room % this.rooms.length] === room);
      const passage = about.find((one) => canPass(room, one.what));
      const newest = passage ? this.#pass(room, passage, parts) : room.membership === "join" ? this.#change(room, about, parts) : undefined;
      if (newest !== undefined) times.set(room, newest);
    }
    for (const [room] of [...times].toSorted(([a, x], [b, y]) => x - y || (a.id < b.id ? -1 : 1))) room.active = ++this.#active;
    for (const one of happenings) this.#ofAccount(one, parts);
    return v2(parts);
  }

  /** The user's own membership changes; gives the time of what is newest. */
  #pass(room: WorldRoom, { what, who, value }: Happening, parts: Sections): number {
    const byOther = what === "invite" || what === "kick" || what === "ban";
    const membership = what === "kick" ? "leave" : (what as "invite" | "knock" | "join" | "leave" | "ban");
    const sender = byOther ? ADMIN : this.me;
    const wasIn = room.membership === "join";
    // While the user was away, things went on.
    if (what === "join") for (const event of [ev.topic(ADMIN, `away ${value}`), ev.member(other(who), value % 2 ? "join" : "leave")]) room.put(event);
    const before = [...room.state.values()].filter((event) => event.state_key !== this.me);
    const own = ev.member(this.me, membership, {}, { sender });
    room.put(own);
    Object.assign(room, {
      membership,
      kicked: membership === "leave" && byOther,
      movedAt: this.step,
      everJoined: room.everJoined || what === "join",
      hasHistory: room.hasHistory || what === "join",
    });
    room.typing = [];
    if (what === "invite" || what === "knock") {
      parts[what][room.id] = [{ type: own.type, state_key: this.me, sender, content: own.content }];
      return Number.MAX_SAFE_INTEGER;
    }
    if (what === "join") {
      // What came before is not told; the newest events of it may be.
      const timeline = value % 3 === 0 ? [ev.message(ADMIN, "before"), own] : [own];
      parts.join[room.id] = { state: before, timeline, limited: true, prev_batch: "p", summary: this.#summary(room), unread: room.unread };
      this.#told(room, timeline, true);
    } else {
      room.unread = { notification_count: 0, highlight_count: 0 };
      const last = wasIn ? [ev.message(ADMIN, "farewell"), own] : [own];
      parts.leave[room.id] = { timeline: last };
      this.#told(room, last, false);
    }
    return own.origin_server_ts;
  }

  /** What happens in a room that the user is in. After a gap the timeline holds the last event alone, and the state the rest. */
  #change(room: WorldRoom, happenings: readonly Happening[], parts: Sections): number | undefined {
    const events = happenings.flatMap((one) => this.#event(room, one) ?? []);
    const ephemeral = happenings.flatMap((one) => this.#ephemeral(room, one));
    const data = happenings.flatMap((one) => roomData(one));
    for (const item of data) room.accountData.set(String(item["type"]), JSON.stringify(item));
    for (const { what, value } of happenings) {
      if (what === "unread") room.unread = { notification_count: value, highlight_count: value % 2 };
    }
    if (!happenings.some((one) => !OF_ACCOUNT.has(one.what))) return undefined;
    const gap = events.length > 0 && happenings.some(({ what }) => what === "gap");
    const timeline = gap ? events.slice(-1) : events;
    const missed = gap ? events.slice(0, -1).filter((event) => event.state_key !== undefined) : [];
    const state = [...new Map(missed.map((event) => [`${event.type}|${event.state_key}`, event])).values()];
    parts.join[room.id] = {
      state,
      timeline,
      limited: gap,
      prev_batch: "p",
      ephemeral,
      account_data: data,
      unread: room.unread,
      summary: this.#summary(room),
    };
    this.#told(room, timeline, gap);
    return timeline.at(-1)?.origin_server_ts;
  }

  #told(room: WorldRoom, events: readonly MatrixEvent[], gap: boolean): void {
    room.timeline.push(...events.map((event, index) => ({ id: event.event_id, gap: gap && index === 0 })));
  }

  #event(room: WorldRoom, { what, who, value }: Happening): MatrixEvent | null {
    const event = this.#made(room, what, who, value);
    if (event?.state_key !== undefined) room.put(event);
    return event;
  }

  #made(room: WorldRoom, what: Happening["what"], who: number, value: number): MatrixEvent | null {
    const present = room.members("join").map((event) => event.sender);
    const sender = present[who % present.length] ?? this.me;
    const made: Partial<Record<Happening["what"], () => MatrixEvent>> = {
      message: () => ev.message(sender, `text ${value}`),
      topic: () => ev.topic(sender, `topic ${value}`),
      name: () => ev.name(sender, `name ${value}`),
      unnamed: () => ev.name(sender, ""),
      avatar: () => ev.state("m.room.avatar", "", sender, value % 3 === 0 ? {} : { url: `mxc://test/${value}` }),
      key: () => ev.state("im.key", ["a", "b", BOB][value % 3] ?? "", sender, { value }),
      member: () => ev.member(other(who), ["join", "join", "leave", "invite"][value % 4], { displayname: `name ${value}` }),
    };
    return made[what]?.() ?? null;
  }

  #ephemeral(room: WorldRoom, { what, who, value }: Happening): Json[] {
    if (what === "typing") {
      room.typing = OTHERS.slice(0, value % (OTHERS.length + 1));
      return [typing(...room.typing)];
    }
    const target = room.timeline.at(-1 - (value % 4))?.id;
    if (what !== "receipt" || target === undefined) return [];
    const [user, kind] = value % 5 === 0 ? [this.me, "m.read.private"] : [[this.me, ...OTHERS][who % 4] ?? this.me, "m.read"];
    room.receipts.set(`${user} ${kind}`, target);
    return [receipt(target, user, kind)];
  }

  #ofAccount({ what, room, value }: Happening, parts: Sections): void {
    if (what === "global") this.#data(parts, { type: `m.global${value % 2}`, content: { value } });
    const { id, membership } = this.rooms[room % this.rooms.length] ?? new WorldRoom("");
    // What an invite was said to be, it stays until it is answered.
    if (what !== "direct" || membership === "invite") return;
    if (!this.direct.delete(id)) this.direct.add(id);
    this.#data(parts, { type: "m.direct", content: { [BOB]: [...this.direct] } });
  }

  #data(parts: Sections, event: Json): void {
    const type = String(event["type"]);
    this.global.set(type, JSON.stringify(event));
    parts.account_data = [...(parts.account_data ?? []).filter((one) => one["type"] !== type), event];
  }

  #summary(room: WorldRoom): Json {
    return {
      "m.joined_member_count": room.members("join").length,
      "m.invited_member_count": room.members("invite").length,
      "m.heroes": room.heroes(this.me).slice(0, 5),
    };
  }
}

const OF_ACCOUNT: ReadonlySet<string> = new Set(["direct", "global", "invite", "knock", "join", "leave", "kick", "ban"]);

function canPass({ membership }: WorldRoom, what: Happening["what"]): boolean {
  const isOut = membership === "none" || membership === "leave";
  if (what === "join") return membership !== "join" && membership !== "ban";
  if (what === "invite" || what === "knock") return isOut || (what === "invite" && membership === "knock");
  if (what === "ban") return membership === "join";
  return (what === "leave" || what === "kick") && !isOut && membership !== "ban";
}

function other(who: number): string {
  return OTHERS[who % OTHERS.length] ?? BOB;
}

function roomData({ what, value }: Happening): Json[] {
  if (what === "tag") return [{ type: "m.tag", content: { tags: value % 2 === 0 ? {} : { "u.x": {} } } }];
  return what === "room_data" ? [{ type: `m.data${value % 2}`, content: { value } }] : [];
}
