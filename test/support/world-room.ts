/** A room of a random world, as it is. */

import { ev, type Json, type MatrixEvent, newRoom } from "./events.ts";

export const BOB = "@bob:test";
/** Users who come and go. */
export const OTHERS = [BOB, "@charlie:test", "@dora:test"];
export const ADMIN = "@admin:test";

export type Membership = "none" | "invite" | "knock" | "join" | "leave" | "ban";

export class WorldRoom {
  readonly id: string;
  membership: Membership = "none";
  /** Left by somebody else's doing. */
  kicked = false;
  everJoined = false;
  /** The server has what was sent of it while the user was in. */
  hasHistory = false;
  /** What was known of it was deleted once. */
  wasPurged = false;
  /** Which response the membership came with. */
  movedAt = 0;
  /** Greater: more recent. */
  active = 0;
  /** `type|key` → event. */
  readonly state = new Map<string, MatrixEvent>();
  /** As it was sent, oldest first; `gap`: something is missing before it. */
  readonly timeline: { readonly id: string; readonly gap: boolean }[] = [];
  unread = { notification_count: 0, highlight_count: 0 };
  readonly accountData = new Map<string, Json>();
  /** `user kind thread` → event id; not other users' private ones. */
  readonly receipts = new Map<string, string>();
  typing: readonly string[] = [];
  /** Sticky events (MSC4354), in the timeline or not; their time does not end. */
  readonly sticky: MatrixEvent[] = [];

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
    const { content } = (this.accountData.get("m.tag") ?? {}) as { content?: { tags?: Json } };
    return Object.keys(content?.tags ?? {});
  }

  /** Who names the room. */
  heroes(me: string): string[] {
    return [...this.members("join"), ...this.members("invite")].map((event) => event.state_key ?? "").filter((user) => user !== me);
  }

  /** As v2 has it. */
  summary(me: string): Json {
    return {
      "m.joined_member_count": this.members("join").length,
      "m.invited_member_count": this.members("invite").length,
      "m.heroes": this.heroes(me).slice(0, 5),
    };
  }
}
