/** What lists of sliding sync hold, asked in a way that both dialects answer. */

import { v2, type Json, type V2Parts } from "./fake-homeserver.ts";
import { type DialectName, SlidingClient } from "./sliding.ts";
import type { V3Fixture } from "./v3.ts";

let count = 0;

/** A user who is new to the server, with what the homeserver tells first; speaks a dialect. */
export function newcomer(t: V3Fixture, dialect: DialectName, first: V2Parts | ((me: string) => V2Parts) = {}): SlidingClient {
  count += 1;
  const me = `@newcomer${count}:test`;
  return new SlidingClient(t.login(me, "PHONE", v2(typeof first === "function" ? first(me) : first)), dialect);
}

/** More than a test has rooms. */
const PLACES = 16;

/** The rooms of a list in their order, and checked against its `count`: on a connection of its own, with a window a room. */
export async function listed(client: SlidingClient, filters?: Json): Promise<string[]> {
  const names = Array.from({ length: PLACES }, (_, place) => `at${place}`);
  const lists = Object.fromEntries(names.map((name, place) => [name, { ranges: [[place, place]] as const, limit: 0, ...(filters && { filters }) }]));
  const answer = await client.sync({ connId: "look", lists });
  const at = (name: string): string[] => {
    if (client.dialect === "unstable") return answer.lists[name]?.ops?.flatMap((op) => op.room_ids) ?? [];
    return Object.entries(answer.rooms).flatMap(([roomId, room]) => ((room["lists"] as string[] | undefined)?.includes(name) ? [roomId] : []));
  };
  const rooms = names.flatMap(at);
  const told = answer.lists["at0"]?.count;
  if (told !== rooms.length) throw new Error(`the list counts ${told}, and holds ${rooms.join(", ")}`);
  return rooms;
}

/** The user's own member event of stripped state, with further stripped events. */
export function stripped(me: string, sender: string, ...more: Json[]): Json[] {
  return [...more, { type: "m.room.member", state_key: me, sender, content: { membership: "invite" } }];
}
