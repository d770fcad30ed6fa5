/** What happens to an account as a whole: ignored users (D25), a lost upstream since (D26), our own database restored. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, toDevice, v2, type Json } from "../support/fake-homeserver.ts";
import { hang, hangRequest, membersOf, scene } from "../support/scene.ts";
import { type Answer, v3Server } from "../support/v3.ts";

const t = v3Server();

const UNKNOWN_SESSION = '{"errcode":"M_UNKNOWN_SYNC_SESSION","error":"Session unknown or expired"}';
const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";

const ignoring = (...users: string[]): Json => ({
  type: "m.ignored_user_list",
  content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) },
});

/** The texts in a room's timeline in the room stream. */
const texts = (answer: Answer, room: string): string[] =>
  answer["room"].rooms[room].timeline.events.map((event: { content: { body?: string } }) => event.content.body ?? "(state)");

describe("D25: ignored users", () => {
  it("D25: what an ignored user says is filtered on reading, also what came before", async () => {
    const bob = "@bob:test";
    const { client, room, deliver } = scene(t, { others: [bob], timeline: [ev.message(bob, "old"), ev.message("@eve:test", "hi")] });
    const first = await client.sync({ room: { room_id: room } });
    expect(texts(first, room)).toEqual(["old", "hi"]);
    await t.deliver(client, v2({ account_data: [ignoring(bob)] }));
    await deliver({ timeline: [ev.message(bob, "new"), ev.message("@eve:test", "ho")] });
    expect(texts(await client.sync({}, { since: first.next }), room)).toEqual(["ho"]);
    expect(texts(await client.sync({ room: { room_id: room } }), room)).toEqual(["hi", "ho"]);
  });

  it("D25 I9: what an ignored user says ends no wait", async () => {
    const bob = "@bob:test";
    const { client, room, deliver } = scene(t, { others: [bob] });
    await client.sync({});
    await t.deliver(client, v2({ account_data: [ignoring(bob)] }));
    const first = await client.sync({ room: { room_id: room } });
    const { answer: waiting } = await hang(client, {}, { since: first.next, timeout: 60_000 });
    await deliver({ timeline: [ev.message(bob, "psst")] });
    await deliver({ timeline: [ev.message("@eve:test", "ho")] });
    expect(texts(await waiting, room)).toEqual(["ho"]);
  });

  it("D25: an ignored user's invites are left out", async () => {
    const bob = "@bob:test";
    const { client, me } = scene(t);
    await client.sync({});
    const stripped = (sender: string) => [{ type: "m.room.member", state_key: me, sender, content: { membership: "invite" } }];
    await t.deliver(client, v2({ account_data: [ignoring(bob)], invite: { "!bad:test": stripped(bob), "!good:test": stripped("@eve:test") } }));
    expect(Object.keys((await client.sync({ invites: {} }))["invites"].rooms)).toEqual(["!good:test"]);
  });

  it("D25 R11: when someone is no longer ignored sessions get R11, waiting ones at once; ignoring another ends nothing", async () => {
    const { client, room, type } = scene(t);
    await client.sync({});
    await t.deliver(client, v2({ account_data: [ignoring("@bob:test")] }));
    const first = await client.sync({ typing: { room_id: room } });
    const waiting = await hangRequest(client, {}, { since: first.next, timeout: 60_000 });
    await t.deliver(client, v2({ account_data: [ignoring("@bob:test", "@eve:test")] }));
    expect((await client.request({}, { since: (await client.sync({})).next })).status).toBe(200);
    await t.deliver(client, v2({ account_data: [ignoring("@eve:test")] }));
    const reply = await waiting.reply;
    expect([reply.status, reply.text]).toEqual([400, UNKNOWN_SESSION]);
    await type("@eve:test");
    expect((await client.sync({ typing: { room_id: room } }))["typing"].events).toHaveLength(1);
  });
});

describe("D26: lost positions", () => {
  it("D26 R11: a since that the homeserver forgot: synced from scratch, gaps marked, sessions get R11, and nothing stored is lost", async () => {
    const bob = "@bob:test";
    const { client, room, me, members, deliver } = scene(t, { others: [bob], timeline: [ev.message(bob, "before")] });
    const first = await client.sync({ room: { room_id: room }, room_members: { room_id: room }, to_device: {} });
    const waiting = await hangRequest(client, {}, { since: first.next, timeout: 60_000 });
    // The homeserver is restored from a backup.
    const state = [...newRoom(me).filter((event) => event.type !== "m.room.member"), ...members];
    t.hs.fail(
      { path: /\/sync$/, token: client.token, where: (request) => request.query.has("since") },
      { status: 400, body: { errcode: "M_UNKNOWN", error: "Unknown since" } },
      2,
    );
    const anew = v2({
      next_batch: "anew",
      join: { [room]: { state, timeline: [ev.message(bob, "after")], limited: true, prev_batch: "gap", summary: { "m.joined_member_count": 2 } } },
      to_device: [toDevice(bob, { n: 2 })],
    });
    t.hs.fail({ path: /\/sync$/, token: client.token, where: (request) => !request.query.has("since") }, { body: { ...anew } });
    t.hs.disconnect();
    const reply = await waiting.reply;
    expect([reply.status, reply.text]).toEqual([400, UNKNOWN_SESSION]);
    await t.hs.waitForRequest({ path: /\/sync$/, token: client.token, where: (request) => request.query.get("since") === "anew" });
    const again = await client.sync({ room: { room_id: room }, room_members: { room_id: room }, to_device: {} });
    expect([texts(again, room).at(-1), again["room"].rooms[room].timeline.limited]).toEqual(["after", true]);
    expect([membersOf(again), again["to_device"].events]).toEqual([[me, bob], [toDevice(bob, { n: 2 })]]);
    t.hs.heal();
    await deliver({ timeline: [ev.message(bob, "later")] });
    expect(texts(await client.sync({}, { since: again.next }), room)).toEqual(["later"]);
  });

  it("D26: a single failure of the homeserver ends no session", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    t.hs.fail({ path: /\/sync$/, token: client.token }, { status: 400, body: { errcode: "M_UNKNOWN", error: "hm" } });
    t.hs.disconnect();
    await type("@b:test");
    expect((await client.sync({}, { since: first.next, timeout: 60_000 }))["typing"].events).toHaveLength(1);
  });

  it("D26 B6: a token from before our own database was restored gets R11: it is ahead of what we know", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room }, to_device: {} });
    await type("@b:test");
    const ahead = await client.sync({}, { since: first.next });
    const other = await client.sync({});
    await t.sql`update accounts set position = position - 1 where user_id = ${client.userId}`;
    expect((await client.request({}, { since: ahead.next })).text).toBe(UNKNOWN_SESSION);
    // It shows that no token of the account can be relied on, whether it is ahead or not.
    for (const token of [first, other]) expect((await client.request({}, { since: token.next })).text).toBe(UNKNOWN_SESSION);
    const again = await client.sync({ to_device: {} });
    await t.deliver(client, v2({ to_device: [toDevice("@b:test")] }));
    const messages = await client.sync({}, { since: again.next });
    await t.sql`update devices set seq = 0 where device_id = 'PHONE' and account = (select account from accounts where user_id = ${client.userId})`;
    expect((await client.request({}, { since: messages.next })).text).toBe(UNKNOWN_SESSION);
  });

  it("D20 D26: the sessions list agrees", async () => {
    const { client } = scene(t);
    const first = await client.sync({});
    await client.sync({}, { since: first.next });
    const [session] = (await client.fetch("GET", SESSIONS)).body["sessions"];
    expect(session).toMatchObject({ kind: "v3", to_device_held: 0, position: expect.any(Number) as unknown });
  });
});
