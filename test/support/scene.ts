/** A user in a room, ready to sync: what most tests of sync v3 begin with. Every scene has names of its own. */

import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, typing, v2 } from "./fake-homeserver.ts";
import type { Answer, Reply, SyncOptions, V3Client, V3Fixture } from "./v3.ts";

let count = 0;

export type SceneParts = {
  /** Other joined members. */
  readonly others?: readonly string[];
  /** State events beside those of a new room. */
  readonly state?: readonly MatrixEvent[];
  readonly timeline?: readonly MatrixEvent[];
};

export type Scene = {
  readonly me: string;
  readonly room: string;
  readonly client: V3Client;
  /** Every member event of the room at the beginning. */
  readonly members: readonly MatrixEvent[];
  /** Delivers something of the room. */
  readonly deliver: (parts: RoomParts) => Promise<void>;
  /** Delivers a typing set. */
  readonly type: (...users: string[]) => Promise<void>;
};

/** The user has not been seen by the server before its first sync. */
export function scene(t: V3Fixture, { others = [], state = [], timeline = [] }: SceneParts = {}): Scene {
  count += 1;
  const me = `@user${count}:test`;
  const room = `!room${count}:test`;
  const first = [...newRoom(me), ...others.map((user) => ev.member(user)), ...state];
  const members = [...first, ...timeline].filter((event) => event.type === "m.room.member");
  const client = t.login(
    me,
    "PHONE",
    v2({ join: { [room]: { state: first, timeline: [...timeline], summary: { "m.joined_member_count": members.length } } } }),
  );
  serveMembers(t, room, members);
  const deliver = (parts: RoomParts) => t.deliver(client, v2({ join: { [room]: parts } }));
  return { me, room, client, members, deliver, type: (...users) => deliver({ ephemeral: [typing(...users)] }) };
}

/** What the homeserver answers to `/members` of a room. */
export function serveMembers(t: V3Fixture, room: string, chunk: readonly Json[]): void {
  t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/members`, { body: { chunk } });
}

const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";

/** Sends a sync, and resolves when it has arrived: what is delivered from then on finds it waiting. */
export async function hangRequest(client: V3Client, body: Json, options: SyncOptions): Promise<{ readonly reply: Promise<Reply> }> {
  const lastUse = async () => {
    const list = await client.fetch("GET", SESSIONS);
    return Math.max(...(list.body["sessions"] as { last_used_ts: number }[]).map((session) => session.last_used_ts));
  };
  const before = await lastUse();
  const reply = client.request(body, options);
  const answered = reply.then(() => true);
  while ((await lastUse()) <= before) if (await Promise.race([answered, Promise.resolve(false)])) break;
  return { reply };
}

/** The same for a sync that must succeed. */
export async function hang(client: V3Client, body: Json, options: SyncOptions): Promise<{ readonly answer: Promise<Answer> }> {
  const { reply } = await hangRequest(client, body, options);
  const answer = reply.then(({ status, text, body: answered }) => {
    if (status !== 200) throw new Error(`sync answered ${status}: ${text}`);
    return answered;
  });
  return { answer };
}

/** The users of an answer's typing stream, set by set; null where the stream is absent. */
export function typingOf(answer: Answer): string[][] | null {
  const stream = answer["typing"] as { events: { content: { user_ids: string[] } }[] } | undefined;
  return stream ? stream.events.map((event) => event.content.user_ids) : null;
}

/** Ids of an answer's `room_members` events, by state key. */
export function membersOf(answer: Answer): string[] | null {
  const stream = answer["room_members"] as { events: { state_key: string }[] } | undefined;
  return stream ? stream.events.map((event) => event.state_key) : null;
}
