/** Rooms with messages that were sent some time ago, and which of them each API shows. */

import { ev, type Json, type MatrixEvent, newRoom, v2 } from "./fake-homeserver.ts";
import { ids } from "./rooms.ts";
import { type Ask, DIALECTS, SlidingClient, timelineIds } from "./sliding.ts";
import type { V3Client, V3Fixture } from "./v3.ts";

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
export const RETENTION_PATH = "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration";

const BOB = "@bob:test";
let count = 0;

/** A message of Bob's that was sent so long ago. */
export const sentAgo = (ms: number, body = `sent ${ms} ms ago`): MatrixEvent => ev.message(BOB, body, { origin_server_ts: Date.now() - ms });

/** m.room.retention. */
export const lifetime = (content: Json): MatrixEvent => ev.state("m.room.retention", "", BOB, content);

/** A new user in a room with that state and timeline. */
export function roomOf(t: V3Fixture, timeline: readonly MatrixEvent[], state: readonly MatrixEvent[] = [], parts: Json = {}) {
  count += 1;
  const [room, me] = [`!aged${count}:test`, `@aged${count}:test`];
  const section = { state: [...newRoom(BOB), ev.member(me), ...state], timeline: [...timeline], ...parts };
  return { room, client: t.login(me, "PHONE", v2({ join: { [room]: section } })) };
}

/** The timelines of a room that each API sends from scratch. */
export async function shownBy(client: V3Client, room: string): Promise<Record<string, string[]>> {
  const list: Ask = { lists: { all: { ranges: [[0, 9]], state: [], limit: 20 } } };
  const subscribed: Ask = { subs: { [room]: { state: [], limit: 20 } } };
  const v3 = await client.sync({ room_list: { timeline_limit: 20 }, room: { room_id: room, timeline_limit: 20 } });
  const entry = (v3["room_list"].rooms as Json[]).find(({ room_id }) => room_id === room) as { timeline: MatrixEvent[] };
  const shown: Record<string, string[]> = { list: ids(entry.timeline), room: ids(v3["room"].rooms[room].timeline.events) };
  for (const dialect of DIALECTS) {
    const sliding = new SlidingClient(client, dialect);
    for (const [name, ask] of Object.entries({ list, subscribed })) {
      // oxlint-disable-next-line no-await-in-loop -- a connection after the other
      const { rooms } = await sliding.sync({ connId: `${dialect} ${name}`, ...ask });
      shown[`${dialect} ${name}`] = timelineIds(rooms[room]);
    }
  }
  return shown;
}

/** The same in every API. */
export function everywhere(events: readonly MatrixEvent[]): Record<string, string[]> {
  const names = ["list", "room", ...DIALECTS.flatMap((dialect) => [`${dialect} list`, `${dialect} subscribed`])];
  return Object.fromEntries(names.map((name) => [name, ids(events)]));
}

/** The bodies of the messages that each API shows of a room, which must be the same; null: redacted. */
export async function shownTexts(client: V3Client, room: string): Promise<(string | null)[]> {
  const textsOf = (events: readonly MatrixEvent[]) =>
    events.filter(({ type }) => type === "m.room.message").map(({ content }) => (content["body"] as string | undefined) ?? null);
  const list: Ask = { lists: { all: { ranges: [[0, 9]], state: [], limit: 20 } } };
  const v3 = await client.sync({ room: { room_id: room, timeline_limit: 20 } });
  const shown = [textsOf(v3["room"].rooms[room].timeline.events)];
  for (const dialect of DIALECTS) {
    // oxlint-disable-next-line no-await-in-loop -- a connection after the other
    const { rooms } = await new SlidingClient(client, dialect).sync({ connId: dialect, ...list });
    shown.push(textsOf(rooms[room]?.["timeline"] as MatrixEvent[]));
  }
  const [first = [], ...others] = shown;
  if (others.some((texts) => JSON.stringify(texts) !== JSON.stringify(first))) throw new Error(`the APIs differ: ${JSON.stringify(shown)}`);
  return first;
}
