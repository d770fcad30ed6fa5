/** What a session remembers, and what its tokens stand for. */

import { describe, expect, it } from "vitest";
import { ev, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { hang, membersOf, scene, serveMembers, typingOf } from "../support/scene.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

/** A user in two rooms. */
function twoRooms() {
  const one = scene(t);
  const second = `${one.room}2`;
  const join = v2({ join: { [second]: { state: [ev.create(one.me), ev.member(one.me)], summary: { "m.joined_member_count": 1 } } } });
  serveMembers(t, second, [ev.member(one.me)]);
  return { ...one, second, join };
}

describe("R6: parameters are sticky", () => {
  it("R6 R7 TestHandler: typing continues without being named again, also over several tokens", async () => {
    const { client, room, type } = scene(t);
    let { next } = await client.sync({ typing: { room_id: room } });
    for (const user of ["@bob:test", "@charlie:test", "@doris:test"]) {
      await type(user);
      const answer = await client.sync({}, { since: next });
      expect(typingOf(answer)).toEqual([[user]]);
      next = answer.next;
    }
  });

  it("TestHandler: without anybody typing the first answer has an empty list; a waiting one wakes with exactly who types", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } }, { timeout: 1000 });
    expect(typingOf(first)).toEqual([]);
    await type("@bob:test");
    const second = await client.sync({}, { since: first.next, timeout: 1000 });
    expect(typingOf(second)).toEqual([["@bob:test"]]);
    const { answer: waiting } = await hang(client, {}, { since: second.next, timeout: 10_000 });
    await type("@charlie:test");
    expect(typingOf(await waiting)).toEqual([["@charlie:test"]]);
  });

  it("B12 D9: naming a stream again keeps the parameters that are not named", async () => {
    const { client, room, deliver } = scene(t, { others: ["@b:test", "@c:test"] });
    const first = await client.sync({ room_members: { room_id: room, membership: ["leave"], p: { limit: 7, sort: "by_name" } } });
    expect(first["room_members"]).toMatchObject({ events: [], p: { limit: 7, sort: "by_name" } });
    await deliver({ timeline: [ev.member("@b:test", "leave")] });
    const second = await client.sync({ room_members: { p: { limit: 3 } } }, { since: first.next });
    expect(second["room_members"]).toMatchObject({ events: [{ state_key: "@b:test" }], p: { limit: 3, sort: "by_name" } });
  });

  it("B14 D9: null for a stream ends it, null for a parameter restores its default", async () => {
    const { client, room, type, deliver } = scene(t, { others: ["@b:test"] });
    const first = await client.sync({ typing: { room_id: room }, room_members: { room_id: room, p: { limit: 7, sort: "by_name" } } });
    await type("@b:test");
    await deliver({ timeline: [ev.member("@c:test")] });
    const second = await client.sync({ typing: null, room_members: { p: { limit: null } } }, { since: first.next });
    expect(second["typing"]).toBeUndefined();
    expect(second["room_members"]).toMatchObject({ events: [{ state_key: "@c:test" }], p: { limit: 50, sort: "by_name" } });
    await type("@eve:test");
    await deliver({ timeline: [ev.member("@d:test")] });
    const third = await client.sync({ room_members: { p: null } }, { since: second.next });
    // The default sort is another selection, so page one is sent (D13).
    expect(Object.keys(third).sort()).toEqual(["next", "room_members"]);
    expect(third["room_members"].p).toEqual({ limit: 50, sort: "by_pl" });
  });

  it("B14: an ended stream starts from scratch when it is named again", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    const ended = await client.sync({ typing: null }, { since: first.next });
    await type("@bob:test");
    const idle = await client.sync({}, { since: ended.next });
    expect(Object.keys(idle)).toEqual(["next"]);
    expect(typingOf(await client.sync({ typing: { room_id: room } }, { since: idle.next }))).toEqual([["@bob:test"]]);
    // The stream was ended, so its parameters are gone as well.
    expect(typingOf(await client.sync({ typing: {} }, { since: idle.next }))).toEqual([]);
  });

  it("D9: an empty object for a stream keeps it as it is", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    const again = await client.sync({ typing: {} }, { since: first.next });
    expect(Object.keys(again)).toEqual(["next"]);
    await type("@bob:test");
    expect(typingOf(await client.sync({ typing: {} }, { since: again.next }))).toEqual([["@bob:test"]]);
  });

  it("B13 D9: p.since is not sticky: the request after a page waits and gets deltas", async () => {
    const { client, room, deliver } = scene(t, { others: ["@b:test", "@c:test"] });
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 1 } } });
    const page = await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
    expect(membersOf(page)).toEqual(["@b:test"]);
    const { answer: waiting } = await hang(client, {}, { since: page.next, timeout: 10_000 });
    await deliver({ timeline: [ev.member("@d:test")] });
    expect(membersOf(await waiting)).toEqual(["@d:test"]);
    const asked = await client.sync({ room_members: { p: { since: "1" } } }, { since: first.next });
    const after = await client.sync({}, { since: asked.next });
    expect(Object.keys(after)).toEqual(["next"]);
  });

  it("D9 D10: the stickiness belongs to the token: an old one replays with the parameters it had", async () => {
    const { client, room, second, join } = twoRooms();
    const first = await client.sync({ typing: { room_id: room } });
    await t.deliver(client, join);
    const moved = await client.sync({ typing: { room_id: second }, to_device: { limit: 3 } }, { since: first.next });
    await t.deliver(
      client,
      v2({ join: { [room]: { ephemeral: [typing("@b:test")] }, [second]: { ephemeral: [typing("@c:test")] } }, to_device: [toDevice("@b:test")] }),
    );
    const old = await client.sync({}, { since: first.next });
    expect([typingOf(old), old["to_device"]]).toEqual([[["@b:test"]], undefined]);
    const now = await client.sync({}, { since: moved.next });
    expect([typingOf(now), now["to_device"].limit]).toEqual([[["@c:test"]], 3]);
  });

  it("R8 R7: two sessions of a device have parameters of their own", async () => {
    const { client, room, type } = scene(t);
    const one = await client.sync({ typing: { room_id: room } });
    const two = await client.sync({ invites: {} });
    await type("@bob:test");
    expect(Object.keys(await client.sync({}, { since: one.next })).sort()).toEqual(["next", "typing"]);
    expect(Object.keys(await client.sync({}, { since: two.next }))).toEqual(["next"]);
  });
});

describe("D13: streams that start", () => {
  it("D13 B54: another room starts the stream with the present set, also if that is older than the token", async () => {
    const { client, room, second, join } = twoRooms();
    const first = await client.sync({ typing: { room_id: room } });
    await t.deliver(client, join);
    await t.deliver(client, v2({ join: { [second]: { ephemeral: [typing("@old:test")] } } }));
    const later = await client.sync({}, { since: first.next });
    expect(typingOf(await client.sync({ typing: { room_id: second } }, { since: later.next }))).toEqual([["@old:test"]]);
  });

  it("D13 TestExtensionLateEnable: a stream first named in mid-session starts as on a first request, and at once", async () => {
    const { client, room, type, me } = scene(t);
    const first = await client.sync({});
    await type("@bob:test");
    const answer = await client.sync(
      { typing: { room_id: room }, room_members: { room_id: room }, invites: {} },
      { since: first.next, timeout: 60_000 },
    );
    expect([typingOf(answer), membersOf(answer), answer["invites"]]).toEqual([[["@bob:test"]], [me], { rooms: {} }]);
  });

  it("D13: the selections of room_members start it from scratch: room_id, membership, sort", async () => {
    const { client, room, second, join, deliver } = twoRooms();
    const first = await client.sync({ room_members: { room_id: room } });
    await t.deliver(client, join);
    await deliver({ timeline: [ev.member("@a:test"), ev.member("@z:test", "leave")] });
    const { next } = await client.sync({}, { since: first.next });
    for (const [change, users] of [
      [{ membership: ["leave"] }, ["@z:test"]],
      [{ p: { sort: "by_name" } }, ["@a:test", client.userId]],
      [{ room_id: second }, [client.userId]],
    ] as const) {
      const answer = await client.sync({ room_members: change }, { since: next, timeout: 60_000 });
      expect(membersOf(answer), JSON.stringify(change)).toEqual(users);
    }
  });

  it("D13 D17: a changed limit takes effect without a restart of the stream", async () => {
    const { client, room, deliver } = scene(t);
    const first = await client.sync({ room_members: { room_id: room } });
    expect(Object.keys(await client.sync({ room_members: { p: { limit: 2 } } }, { since: first.next }))).toEqual(["next"]);
    await deliver({ timeline: [ev.member("@a:test"), ev.member("@b:test"), ev.member("@c:test")] });
    const two = await client.sync({ room_members: { p: { limit: 2 } } }, { since: first.next });
    expect(membersOf(two)).toEqual(["@a:test", "@b:test"]);
    expect(membersOf(await client.sync({}, { since: two.next }))).toEqual(["@c:test"]);
  });

  it("TestRequestApplyDeltas: naming the same parameters again changes nothing", async () => {
    const { client, room } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    expect(Object.keys(await client.sync({ typing: { room_id: room } }, { since: first.next }))).toEqual(["next"]);
  });
});

describe("D10: retries", () => {
  it("D10 I2: the same since again gets everything after it again, and what has come meanwhile", async () => {
    const { client, room, deliver } = scene(t);
    const { next } = await client.sync({ room_members: { room_id: room }, account_data: {} });
    await deliver({ timeline: [ev.member("@a:test")] });
    const once = await client.sync({}, { since: next });
    expect(await client.sync({}, { since: next })).toEqual(once);
    await deliver({ timeline: [ev.member("@b:test")] });
    expect(membersOf(await client.sync({}, { since: next }))).toEqual(["@a:test", "@b:test"]);
  });

  it("D10: an older token is answered like any other after a later one was used, less purged to-device messages", async () => {
    const { client, room, deliver } = scene(t);
    const first = await client.sync({ room_members: { room_id: room }, to_device: {} });
    await t.deliver(client, v2({ join: { [room]: { timeline: [ev.member("@a:test")] } }, to_device: [toDevice("@b:test")] }));
    const second = await client.sync({}, { since: first.next });
    expect([membersOf(second), second["to_device"].events]).toEqual([["@a:test"], [toDevice("@b:test")]]);
    await deliver({ timeline: [ev.member("@c:test")] });
    await client.sync({}, { since: second.next });
    const old = await client.sync({}, { since: first.next });
    expect([membersOf(old), old["to_device"]]).toEqual([["@a:test", "@c:test"], undefined]);
  });

  it("D10 R11: an old token whose snapshot is no longer stored gets R11, a newer one continues", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    await type("@a:test");
    const second = await client.sync({}, { since: first.next });
    // As retention does, after an hour and more.
    await t.sql`update accounts set horizon = position where user_id = ${client.userId}`;
    expect((await client.request({}, { since: first.next })).body["errcode"]).toBe("M_UNKNOWN_SYNC_SESSION");
    expect(Object.keys(await client.sync({}, { since: second.next }))).toEqual(["next"]);
  });

  it("I1 D12: a quiet token is never lower than its since: it gets what comes after it, and nothing that it had", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    await type("@a:test");
    let { next } = await client.sync({}, { since: first.next });
    for (let round = 0; round < 3; round++) {
      const quiet = await client.sync({}, { since: next });
      expect(Object.keys(quiet)).toEqual(["next"]);
      ({ next } = quiet);
    }
  });
});
