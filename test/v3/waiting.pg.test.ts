/** When a request is answered: at once, when there is news, or after its timeout (D7, D11). */

import { describe, expect, it } from "vitest";
import { ev, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { hang, hangRequest, membersOf, scene, typingOf } from "../support/scene.ts";
import { type Answer, type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

const SHORT = 300;

/** A sync request with its duration, ms. */
async function timed(client: V3Client, since: string, timeout: number): Promise<{ answer: Answer; elapsed: number }> {
  const started = performance.now();
  const answer = await client.sync({}, { since, timeout });
  // A timer may fire a millisecond early.
  return { answer, elapsed: performance.now() - started + 2 };
}

/** Waits until the client's token is refused. */
async function untilDead(client: V3Client): Promise<void> {
  while ((await client.fetch("GET", "/_matrix/client/unstable/syncv3/sessions")).status !== 401);
}

describe("D7: waiting", () => {
  it("D7: news that is already there is answered at once, whatever the timeout", async () => {
    const { client, room, type } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } }, { timeout: 300_000 });
    await type("@bob:test");
    expect(typingOf(await client.sync({}, { since: next, timeout: 300_000 }))).toEqual([["@bob:test"]]);
  });

  it("D7 D8: without news the answer is `next` alone, after the timeout", async () => {
    const { client, room } = scene(t);
    const { next } = await client.sync({
      typing: { room_id: room },
      room_members: { room_id: room },
      to_device: {},
      account_data: {},
      room_list: {},
    });
    const { answer, elapsed } = await timed(client, next, SHORT);
    expect(Object.keys(answer)).toEqual(["next"]);
    expect(elapsed).toBeGreaterThanOrEqual(SHORT);
  });

  it("D7: a request without streams waits for its timeout too", async () => {
    const { client, deliver } = scene(t);
    const { next } = await client.sync({});
    const waiting = timed(client, next, SHORT);
    await deliver({ timeline: [ev.message("@bob:test")] });
    const { answer, elapsed } = await waiting;
    expect(Object.keys(answer)).toEqual(["next"]);
    expect(elapsed).toBeGreaterThanOrEqual(SHORT);
  });

  it("I9 B24 B25: only relevant news end the wait", async () => {
    const { client, room, me } = scene(t, { others: ["@bob:test"] });
    const other = `${room}other`;
    const { next } = await client.sync({ typing: { room_id: room } });
    const { answer: waiting } = await hang(client, {}, { since: next, timeout: 60_000 });
    await t.deliver(client, v2({ join: { [other]: { state: newRoom(me), ephemeral: [typing("@bob:test")], timeline: [ev.message("@bob:test")] } } }));
    await t.deliver(
      client,
      v2({
        join: { [room]: { timeline: [ev.message("@bob:test"), ev.name(me, "X"), ev.member("@eve:test")], ephemeral: [receipt("$e1", "@bob:test")] } },
      }),
    );
    await t.deliver(
      client,
      v2({ to_device: [toDevice("@bob:test")], device_lists: { changed: ["@bob:test"] }, account_data: [{ type: "x", content: {} }], presence: [] }),
    );
    await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing("@eve:test")] } } }));
    const answer = await waiting;
    expect(Object.keys(answer).sort()).toEqual(["next", "typing"]);
    expect(typingOf(answer)).toEqual([["@eve:test"]]);
  });

  it("D7 TestConnectionTimeoutNotReset: irrelevant news does not restart the wait", async () => {
    const { client, room, deliver } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    const waiting = timed(client, next, 1500);
    const over = waiting.then(() => true);
    // If each of these restarted the wait, it would not end while they continue.
    while (!(await Promise.race([over, Promise.resolve(false)]))) await deliver({ timeline: [ev.message("@bob:test")] });
    expect(Object.keys((await waiting).answer)).toEqual(["next"]);
  });

  it("B24 B9: a caught-up session is not answered at once over and over while others have news", async () => {
    const { client, room, type } = scene(t);
    const other = scene(t);
    const { next } = await client.sync({ typing: { room_id: room }, to_device: {} });
    const elsewhere = await other.client.sync({ to_device: {} });
    await t.deliver(other.client, v2({ to_device: [toDevice("@x:test")] }));
    await type("@bob:test");
    const caughtUp = await client.sync({}, { since: next });
    const { answer, elapsed } = await timed(client, caughtUp.next, SHORT);
    expect(Object.keys(answer)).toEqual(["next"]);
    expect(elapsed).toBeGreaterThanOrEqual(SHORT);
    expect((await other.client.sync({}, { since: elsewhere.next }))["to_device"].events).toHaveLength(1);
  });

  it("I9: another device's to-device messages do not end a wait", async () => {
    const { client, me, room, type } = scene(t);
    const tablet = t.login(me, "TABLET");
    const { next } = await client.sync({ to_device: {}, typing: { room_id: room } });
    await tablet.sync({ to_device: {} });
    const { answer: waiting } = await hang(client, {}, { since: next, timeout: 60_000 });
    await t.deliver(tablet, v2({ to_device: [toDevice("@bob:test")], device_lists: { changed: ["@x:test"] } }));
    await type("@bob:test");
    expect(Object.keys(await waiting).sort()).toEqual(["next", "typing"]);
  });

  it("D7: a stream that starts is answered at once, even with a long timeout", async () => {
    const { client, room } = scene(t);
    const first = await client.sync({}, {});
    const answer = await client.sync({ typing: { room_id: room } }, { since: first.next, timeout: 300_000 });
    expect(typingOf(answer)).toEqual([]);
  });

  it("I1 B24: a wait without news advances silently, and what came meanwhile is sent once with the next token", async () => {
    const { client, room, deliver, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    const { answer: waiting } = await hang(client, {}, { since: first.next, timeout: SHORT });
    await deliver({ timeline: [ev.message("@bob:test")] });
    const quiet = await waiting;
    await type("@bob:test");
    const sent = await client.sync({}, { since: quiet.next });
    expect(typingOf(sent)).toEqual([["@bob:test"]]);
    expect(Object.keys(await client.sync({}, { since: sent.next }))).toEqual(["next"]);
  });

  it("B26 D19: what came in one v2 response is sent in one answer", async () => {
    const { client, room } = scene(t);
    const { next } = await client.sync({
      typing: { room_id: room },
      to_device: {},
      room_members: { room_id: room },
      room: { room_id: room },
      account_data: {},
    });
    const { answer: waiting } = await hang(client, {}, { since: next, timeout: 60_000 });
    await t.deliver(
      client,
      v2({
        join: { [room]: { timeline: [ev.member("@eve:test"), ev.encrypted("@eve:test")], ephemeral: [typing("@eve:test")] } },
        to_device: [toDevice("@eve:test", {}, "m.room_key")],
        account_data: [{ type: "x", content: {} }],
      }),
    );
    expect(Object.keys(await waiting).sort()).toEqual(["account_data", "next", "room", "room_members", "to_device", "typing"]);
  });
});

describe("D11: overlap", () => {
  it("D11 B30 TestOutstandingRequestsGetCancelled: a newer request ends the older, which gets its own since as next", async () => {
    const { client, room, type } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    const { answer: older } = await hang(client, {}, { since: next, timeout: 60_000 });
    const { answer: newer } = await hang(client, {}, { since: next, timeout: 60_000 });
    expect(await older).toEqual({ next });
    await type("@bob:test");
    expect(typingOf(await newer)).toEqual([["@bob:test"]]);
  });

  it("D11: of many requests one remains, and none gets an error", async () => {
    const { client, room, type } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    const all = Array.from({ length: 6 }, () => client.request({}, { since: next, timeout: 60_000 }));
    // Five of them end by themselves.
    let ended = 0;
    await new Promise<void>((resolve) => {
      for (const one of all) void one.then(() => ++ended === 5 && resolve());
    });
    await type("@bob:test");
    const replies = await Promise.all(all);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    expect(replies.filter(({ body }) => typingOf(body) !== null)).toHaveLength(1);
    expect(replies.filter(({ body }) => body.next === next)).toHaveLength(5);
  });

  it("D11: another session's request ends nothing", async () => {
    const { client, room, type } = scene(t);
    const one = await client.sync({ typing: { room_id: room } });
    const { answer: waiting } = await hang(client, {}, { since: one.next, timeout: 60_000 });
    const two = await client.sync({ typing: { room_id: room } });
    await client.sync({}, { since: two.next });
    await type("@bob:test");
    expect(typingOf(await waiting)).toEqual([["@bob:test"]]);
  });

  it("D11 D24: a request that waits for a fetch is ended too", async () => {
    const { client, room, members } = scene(t);
    const { next } = await client.sync({});
    const { promise, resolve: release } = Promise.withResolvers<void>();
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/members`, () => promise.then(() => ({ body: { chunk: members } })));
    const { answer: older } = await hang(client, { room_members: { room_id: room } }, { since: next, timeout: 60_000 });
    const { answer: newer } = await hang(client, { room_members: { room_id: room } }, { since: next, timeout: 0 });
    expect(await older).toEqual({ next });
    release();
    expect(membersOf(await newer)).toEqual([client.userId]);
  });

  it("D11 D14: page requests neither end a request nor are ended", async () => {
    const { client, room, deliver } = scene(t, { others: ["@b:test", "@c:test"] });
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 1 } } });
    const { answer: waiting } = await hang(client, {}, { since: first.next, timeout: 60_000 });
    const page = await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next, timeout: 60_000 });
    expect(membersOf(page)).toEqual(["@b:test"]);
    await deliver({ timeline: [ev.member("@d:test")] });
    expect(membersOf(await waiting)).toEqual(["@d:test"]);
  });
});

describe("what else ends a wait", () => {
  it("D2 I10 B28: a token that is revoked while its request waits gets 401 M_UNKNOWN_TOKEN, and is used no more", async () => {
    const { client, room } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    const { reply: waiting } = await hangRequest(client, {}, { since: next, timeout: 60_000 });
    t.hs.revoke(client.token, true);
    const reply = await waiting;
    expect([reply.status, reply.body["errcode"], reply.body["soft_logout"]]).toEqual([401, "M_UNKNOWN_TOKEN", true]);
    const polls = t.hs.polls(client.token).length;
    expect((await client.request({}, { since: next })).status).toBe(401);
    expect(t.hs.polls(client.token)).toHaveLength(polls);
  });

  it("D2 I10: nor is a request left waiting whose token dies while it arrives", async () => {
    const { client, room } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    await t.hs.waitForPoll(client.token);
    // Its head was checked long before its body is complete.
    const { promise, resolve: release } = Promise.withResolvers<void>();
    async function* slowBody() {
      yield Buffer.from("{");
      await promise;
      yield Buffer.from("}");
    }
    const headers = { authorization: `Bearer ${client.token}` };
    const waiting = fetch(`${t.url}/_matrix/client/v3/sync?since=${next}&timeout=60000`, {
      method: "POST",
      headers,
      body: slowBody(),
      duplex: "half",
    });
    await client.fetch("GET", "/_matrix/client/unstable/syncv3/sessions");
    t.hs.revoke(client.token);
    await untilDead(client);
    release();
    expect((await waiting).status).toBe(401);
  });

  it("D2: a newer token of the device continues with the session", async () => {
    const { client, room, me } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    t.hs.revoke(client.token);
    const renewed = t.refresh(client);
    const waiting = renewed.sync({}, { since: next, timeout: 60_000 });
    await t.deliver(renewed, v2({ join: { [room]: { ephemeral: [typing(me)] } } }));
    expect(typingOf(await waiting)).toEqual([[me]]);
  });

  it("D4: trouble at the homeserver does not affect the client: it waits its time and gets a normal answer", async () => {
    const { client, room, type } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    t.hs.fail({ path: /\/sync$/, token: client.token }, { status: 500, body: "oops" });
    await type("@bob:test");
    const sent = await client.sync({}, { since: next, timeout: 30_000 });
    expect(typingOf(sent)).toEqual([["@bob:test"]]);
    const quiet = await client.request({}, { since: sent.next, timeout: SHORT });
    expect([quiet.status, Object.keys(quiet.body)]).toEqual([200, ["next"]]);
    t.hs.heal();
  });

  it("R10 D20: a waiting request whose session is ended gets R11", async () => {
    const { client, room } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    const [session] = (await client.fetch("GET", "/_matrix/client/unstable/syncv3/sessions")).body["sessions"];
    const { reply: waiting } = await hangRequest(client, {}, { since: next, timeout: SHORT });
    expect((await client.fetch("DELETE", `/_matrix/client/unstable/syncv3/sessions/${session.id}`)).status).toBe(200);
    expect((await waiting).body["errcode"]).toBe("M_UNKNOWN_SYNC_SESSION");
  });
});
