/** What a client has put together from the answers of a sliding sync connection, by the rules of MSC4186. */

import { type Answer, type DialectName, type RoomAnswer, timelineIds } from "./sliding.ts";

type Told = {
  readonly type: string;
  readonly state_key: string;
  readonly event_id: string;
  readonly sender: string;
  readonly content?: { membership?: string };
};

/** What was asked of a room. */
export type Scoped = { readonly limit: number; readonly lazy: boolean; readonly matches: (type: string, key: string) => boolean };

const MEMBER = "m.room.member";

export class ViewRoom {
  membership = "join";
  name: string | null | undefined;
  avatar: string | null | undefined;
  heroes: readonly string[] = [];
  isDm = false;
  joined: number | undefined;
  invited: number | undefined;
  counts: unknown;
  /** `type|key` → event id. */
  readonly state = new Map<string, string>();
  /** Who was told lazily, and is told whenever that changes. */
  readonly lazy = new Set<string>();
  timeline: string[] = [];
  /** Who sent the events of the newest answer. */
  senders: readonly string[] = [];
}

export class SlidingView {
  readonly me: string;
  readonly dialect: DialectName;
  readonly rooms = new Map<string, ViewRoom>();
  readonly typing = new Map<string, readonly string[]>();
  /** `room user kind` → event id. */
  readonly receipts = new Map<string, string>();
  /** `room type` (` type`: global) → event. */
  readonly accountData = new Map<string, string>();

  constructor(me: string, dialect: DialectName) {
    this.me = me;
    this.dialect = dialect;
  }

  /** `scope`: what was asked of the rooms in the windows and of those subscribed to. */
  apply(answer: Answer, scope: ReadonlyMap<string, Scoped>): void {
    for (const [id, room] of this.rooms) {
      room.senders = [];
      if (scope.get(id)?.lazy === false) room.lazy.clear();
    }
    for (const [id, told] of Object.entries(answer.rooms)) this.#room(id, told, scope.get(id));
    const { typing, receipts, account_data: data } = answer.extensions;
    for (const [id, event] of entries(typing?.rooms)) this.typing.set(id, event.content.user_ids);
    for (const [id, event] of entries(receipts?.rooms)) this.#receipts(id, event.content);
    for (const event of data?.global ?? []) this.accountData.set(` ${event.type}`, JSON.stringify(event));
    for (const [id, events] of entries(data?.rooms)) {
      for (const event of events) this.accountData.set(`${id} ${event.type}`, JSON.stringify(event));
    }
  }

  #room(id: string, told: RoomAnswer, asked: Scoped | undefined): void {
    if (!asked) throw new Error(`${id} was told and not asked for`);
    const known = this.rooms.get(id);
    const own = (list: readonly Told[] | undefined) =>
      list?.findLast((event) => event.type === MEMBER && event.state_key === this.me)?.content?.membership;
    if (told["invite_state"] !== undefined) {
      const room = new ViewRoom();
      room.membership = own(told["invite_state"]) ?? "invite";
      this.rooms.set(id, room);
      return;
    }
    if (!known && told["initial"] !== true) throw new Error(`${id} was never told before, and is not initial`);
    const room = !known || told["initial"] === true ? new ViewRoom() : known;
    this.rooms.set(id, room);
    const cut = told["initial"] === true || told["limited"] === true;
    if (cut) this.#flush(room, asked);
    for (const event of (told["required_state"] ?? []) as Told[]) {
      const key = `${event.type}|${event.state_key}`;
      if (event.content === undefined) room.state.delete(key);
      else room.state.set(key, event.event_id);
      if (event.type === MEMBER && asked.lazy && !asked.matches(MEMBER, event.state_key)) room.lazy.add(event.state_key);
    }
    room.timeline = [...(cut || told["unstable_expanded_timeline"] === true ? [] : room.timeline), ...timelineIds(told)];
    room.senders = [...new Set(((told["timeline"] ?? []) as Told[]).map((event) => event.sender))];
    // A client takes a room for joined unless it is told otherwise.
    room.membership = told["membership"] ?? own(told["required_state"]) ?? "join";
    this.#fields(room, told);
  }

  /** After a gap a client knows of no members but those it is always told of. */
  #flush(room: ViewRoom, asked: Scoped): void {
    room.lazy.clear();
    for (const key of room.state.keys()) {
      const [type = "", user = ""] = key.split("|");
      if (type === MEMBER && !asked.matches(type, user)) room.state.delete(key);
    }
  }

  #fields(room: ViewRoom, told: RoomAnswer): void {
    const at = (field: string) => told[field];
    if (at("name") !== undefined) room.name = at("name");
    if (at("avatar") !== undefined) room.avatar = at("avatar");
    if (at("heroes") !== undefined) room.heroes = (at("heroes") as { user_id: string }[]).map((hero) => hero.user_id);
    if (at("is_dm") !== undefined) room.isDm = at("is_dm");
    if (at("joined_count") !== undefined) room.joined = at("joined_count");
    if (at("invited_count") !== undefined) room.invited = at("invited_count");
    const counts = { notification_count: at("notification_count"), highlight_count: at("highlight_count") };
    if (counts.notification_count !== undefined) room.counts = counts;
  }

  #receipts(id: string, content: Record<string, Record<string, Record<string, unknown>>>): void {
    for (const [eventId, kinds] of Object.entries(content)) {
      for (const [kind, users] of Object.entries(kinds)) {
        for (const user of Object.keys(users)) this.receipts.set(`${id} ${user} ${kind}`, eventId);
      }
    }
  }
}

// oxlint-disable-next-line typescript/no-explicit-any -- the wire format under test
function entries(of: Readonly<Record<string, any>> | undefined): [string, any][] {
  return Object.entries(of ?? {});
}
