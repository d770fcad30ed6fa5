/** T14: heroes whose member events polls did not bring. */

import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, v2, type V2Parts } from "./support/fake-homeserver.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { type V3Client, v3Server } from "./support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";
const NAMED = { displayname: "Bob", avatar_url: "mxc://test/bob" };
const LONG = 60_000;

type Shown = { readonly heroes: unknown; readonly next: string };
/** `window`: how many rooms the list shows. */
type Face = (client: V3Client, room: string, options?: { readonly since?: string; readonly window?: number }) => Promise<Shown>;

const FACES: readonly (readonly [string, Face])[] = [
  [
    "v3",
    async (client, room, { since, window = 100 } = {}) => {
      const body = since === undefined ? { room_list: { p: { limit: window } } } : {};
      const answer = await client.sync(body, since === undefined ? {} : { since, timeout: LONG });
      const rooms = (answer["room_list"]?.rooms ?? []) as Json[];
      return { heroes: rooms.find((one) => one["room_id"] === room)?.["heroes"], next: answer.next };
    },
  ],
  ...DIALECTS.map((dialect): readonly [string, Face] => [
    dialect,
    async (client, room, { since, window = 100 } = {}) => {
      const ask = { lists: { all: { ranges: [[0, window - 1]] } } } as const;
      const answer = await new SlidingClient(client, dialect).sync(ask, since === undefined ? {} : { pos: since, timeout: LONG });
      return { heroes: answer.rooms[room]?.["heroes"], next: answer.pos };
    },
  ]),
];

let count = 0;

/** A new user in a room without a name, whose hero's member event is missing. */
function user({ heroes = [BOB], state = [], more = {} }: { heroes?: string[]; state?: MatrixEvent[]; more?: V2Parts } = {}) {
  count += 1;
  const [me, room] = [`@hero${count}:test`, `!hero${count}:test`];
  const timeline = [ev.message(me)];
  const section = { state: [...newRoom(me), ...state], timeline, summary: { "m.heroes": heroes, "m.joined_member_count": heroes.length + 1 } };
  return { me, room, client: t.login(me, "PHONE", v2({ ...more, join: { [room]: section, ...more.join } })) };
}

/** What the homeserver answers about members of a room; null: none. */
function serve(room: string, answer: () => Json | null | Promise<Json | null>): void {
  t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/m.room.member/:user`, async () => {
    const body = await answer();
    return body ? { body } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "Event not found." } };
  });
}

/** The heroes that were asked for, as `room user`. */
function asked(client: V3Client): string[] {
  const seen = t.hs.seen({ path: /\/state\/m\.room\.member\//, token: client.token });
  return seen.map((one) => decodeURIComponent(one.path.replace(/^.*\/rooms\/(.*)\/state\/m\.room\.member\/(.*)$/, "$1 $2")));
}

/** From now on the heroes of the user are due again, also for a server that remembers. */
async function makeDue(): Promise<void> {
  await t.sql`update background_asks set due_at = now()`;
  await t.restart();
}

describe.each(FACES)("a hero without a member event (%s)", (_name, face) => {
  it("T14: the first answer does not wait, and the name comes as an ordinary change", async () => {
    const { client, room } = user();
    const { promise, resolve } = Promise.withResolvers<void>();
    serve(room, async () => {
      await promise;
      return ev.member(BOB, "join", NAMED);
    });
    const first = await face(client, room);
    expect(first.heroes).toEqual([{ user_id: BOB }]);
    const then = face(client, room, { since: first.next });
    await expect.poll(() => asked(client)).toEqual([`${room} ${BOB}`]);
    resolve();
    expect((await then).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
    expect((await face(client, room)).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
    expect(t.hs.seen({ path: /\/state\/m\.room\.member\//, token: client.token })[0]?.query.get("format")).toBe("event");
  });

  it("T14: a homeserver that answers with the content alone", async () => {
    const { client, room } = user();
    serve(room, () => ({ membership: "join", ...NAMED }));
    const first = await face(client, room);
    expect((await face(client, room, { since: first.next })).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
  });

  it("T14: of rooms that are not in the window none is asked for", async () => {
    const old = { state: newRoom(BOB), summary: { "m.heroes": [BOB], "m.joined_member_count": 2 } };
    const { client, room } = user({ more: { join: { [`!old${count + 1}:test`]: old } } });
    serve(room, () => ev.member(BOB, "join", NAMED));
    const first = await face(client, room, { window: 1 });
    await face(client, room, { since: first.next });
    await expect.poll(() => asked(client)).toEqual([`${room} ${BOB}`]);
  });
});

describe("a hero without a member event", () => {
  const [, [, face]] = FACES as [unknown, readonly [string, Face]];

  it("T14: is asked for once in 24 hours, also after a restart", async () => {
    const { client, room } = user();
    serve(room, () => null);
    await face(client, room);
    await expect.poll(() => asked(client)).toHaveLength(1);
    await face(client, room);
    await t.restart();
    await face(client, room);
    await makeDue();
    serve(room, () => ev.member(BOB, "join", NAMED));
    const { next } = await face(client, room);
    expect((await face(client, room, { since: next })).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
    expect(asked(client)).toHaveLength(2);
  });

  it("T14: is asked for again in 10 minutes if the homeserver was away", async () => {
    const { client, room } = user();
    t.hs.fail({ path: new RegExp(`${encodeURIComponent(room)}/state`) }, { status: 502, body: {} });
    await face(client, room);
    const wait = () => t.sql<{ minutes: number }[]>`
      select round(extract(epoch from due_at - now()) / 60)::int as minutes from background_asks where room_id = ${room}`;
    await expect.poll(async () => (await wait())[0]?.minutes).toBe(10);
    await makeDue();
    serve(room, () => ev.member(BOB, "join", NAMED));
    const { next } = await face(client, room);
    expect((await face(client, room, { since: next })).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
  });

  it("T14: at most 20 are asked for a request", async () => {
    const ids = Array.from({ length: 25 }, (_, n) => `!many${n}:test`);
    const many = Object.fromEntries(ids.map((id): [string, RoomParts] => [id, { state: newRoom(BOB), summary: { "m.heroes": ["@eve:test"] } }]));
    const { client, room } = user({ heroes: [], more: { join: many } });
    for (const id of ids) serve(id, () => null);
    const claimed = () => t.sql`select from background_asks b join accounts a using (account) where a.user_id = ${client.userId}`;
    await face(client, room);
    await expect.poll(() => asked(client)).toHaveLength(20);
    expect(await claimed()).toHaveLength(20);
    await face(client, room);
    await expect.poll(() => asked(client)).toHaveLength(25);
    expect(new Set(asked(client)).size).toBe(25);
  });

  it("T14: none of a room with a name, of an invite, or of a room that the user was banned from, and none that is stored", async () => {
    count += 1;
    const [named, invited, banned] = [`!named${count}:test`, `!invited${count}:test`, `!banned${count}:test`];
    const me = `@hero${count + 1}:test`;
    const nameless = { state: newRoom(BOB), summary: { "m.heroes": ["@eve:test"] } };
    const { client, room } = user({
      heroes: [BOB, "@plain:test"],
      state: [ev.member("@plain:test")],
      more: {
        join: { [named]: { ...nameless, state: [...newRoom(BOB), ev.name(BOB, "named")] }, [banned]: nameless },
        invite: { [invited]: [ev.member(me, "invite", {}, { sender: BOB })] },
      },
    });
    serve(room, () => ev.member(BOB, "join", NAMED));
    await client.sync();
    await t.deliver(client, v2({ leave: { [banned]: { timeline: [ev.member(me, "ban", {}, { sender: BOB })] } } }));
    const first = await face(client, room);
    expect((await face(client, room, { since: first.next })).heroes).toEqual([{ user_id: BOB, ...NAMED }, { user_id: "@plain:test" }]);
    await expect.poll(() => asked(client)).toEqual([`${room} ${BOB}`]);
  });

  it("T14: what was stored since the question is newer than its answer", async () => {
    const { client, room } = user();
    const { promise, resolve } = Promise.withResolvers<void>();
    serve(room, async () => {
      await promise;
      return ev.member(BOB, "join", { displayname: "Old" });
    });
    const first = await face(client, room);
    await expect.poll(() => asked(client)).toHaveLength(1);
    await t.deliver(client, v2({ join: { [room]: { timeline: [ev.member(BOB, "join", NAMED)], summary: { "m.heroes": [BOB] } } } }));
    resolve();
    expect((await face(client, room, { since: first.next })).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
    await t.restart();
    expect((await face(client, room)).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
  });

  it("T14: a subscribed room is named, too, and one that leaves names by those who are there first", async () => {
    const { client, room } = user({ heroes: [BOB, "@carol:test"], state: [ev.member("@carol:test")] });
    serve(room, () => ev.member(BOB, "leave", NAMED));
    const phone = new SlidingClient(client, "v4");
    const { pos } = await phone.sync({ subs: { [room]: { limit: 1 } } });
    const then = await phone.sync({ subs: { [room]: { limit: 1 } } }, { pos, timeout: LONG });
    expect(then.rooms[room]?.["heroes"]).toEqual([{ user_id: "@carol:test" }, { user_id: BOB, ...NAMED }]);
  });

  it("T14: the rooms of a list's page are named, too", async () => {
    const old = `!page${count}:test`;
    const { client, room } = user({ more: { join: { [old]: { state: newRoom(BOB), summary: { "m.heroes": ["@eve:test"] } } } } });
    for (const id of [room, old]) serve(id, () => null);
    const first = await client.sync({ room_list: { p: { limit: 1 } } });
    await expect.poll(() => asked(client)).toEqual([`${room} ${BOB}`]);
    await client.sync({ room_list: { p: { since: first["room_list"].p.next } } }, { since: first.next });
    await expect.poll(() => asked(client)).toEqual([`${room} ${BOB}`, `${old} @eve:test`]);
  });

  it("T14: a fetched member list names the room as well", async () => {
    const { client, room, me } = user();
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/members`, {
      body: { chunk: [ev.member(me), ev.member(BOB, "join", NAMED)] },
    });
    await client.sync({ room_members: { room_id: room } });
    expect((await face(client, room)).heroes).toEqual([{ user_id: BOB, ...NAMED }]);
  });
});
