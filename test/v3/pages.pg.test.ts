/** Page requests and page one, for all streams with pages (R15-R21, D14-D17). */

import { describe, expect, it } from "vitest";
import { ev, newRoom, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { hang, membersOf, scene, type Scene } from "../support/scene.ts";
import { type Answer, v3Server } from "../support/v3.ts";

const t = v3Server();

const SHORT = 300;

/** A scene with three more rooms, named `a`, `b` and `c`. */
async function fourRooms(): Promise<Scene & { readonly rooms: Readonly<Record<"a" | "b" | "c", string>> }> {
  const one = scene(t, { others: ["@b:test", "@c:test"], state: [ev.name("@b:test", "z")] });
  await one.client.sync({});
  const rooms = { a: `${one.room}a`, b: `${one.room}b`, c: `${one.room}c` };
  const join = Object.fromEntries(
    Object.entries(rooms).map(([name, id]) => [id, { state: [...newRoom(one.me), ev.name(one.me, name)], timeline: [ev.message(one.me)] }]),
  );
  await t.deliver(one.client, v2({ join }));
  return { ...one, rooms };
}

const listed = (answer: Answer): string[] | null =>
  (answer["room_list"] as { rooms: { room_id: string }[] } | undefined)?.rooms.map((entry) => entry.room_id) ?? null;

describe("D14: page requests", () => {
  it("R15 R17 R19 R20 I5: list pages partition the snapshot, whatever happens meanwhile, and none has to be fetched", async () => {
    const { client, room, rooms, me } = await fourRooms();
    const first = await client.sync({ room_list: { p: { limit: 1, sort: ["by_name"] } } });
    expect([listed(first), first["room_list"].count, first["room_list"].p]).toEqual([
      [rooms.a],
      4,
      { limit: 1, sort: ["by_name"], next: expect.any(String) as unknown },
    ]);
    await t.deliver(
      client,
      v2({
        join: { [`${room}new`]: { state: [...newRoom(me), ev.name(me, "aa")] }, [rooms.c]: { timeline: [ev.name(me, "0")] } },
        leave: { [rooms.b]: { timeline: [ev.member(me, "leave")] } },
      }),
    );
    const second = await client.sync({ room_list: { p: { since: first["room_list"].p.next, limit: 2 } } }, { since: first.next });
    expect([listed(second), second.next, second["room_list"].p.limit]).toEqual([[rooms.b, rooms.c], first.next, 2]);
    const third = await client.sync({ room_list: { p: { since: second["room_list"].p.next } } }, { since: first.next });
    expect([listed(third), third["room_list"].p]).toEqual([[room], { limit: 1, sort: ["by_name"] }]);
  });

  it("R18 D14: a page never waits, contains only its stream, and its `next` is the since that it came with", async () => {
    const { client, room, rooms } = await fourRooms();
    const first = await client.sync({ room_list: { p: { limit: 1, sort: "by_name" } }, typing: { room_id: room }, to_device: {} });
    await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing("@b:test")] } }, to_device: [toDevice("@b:test")] }));
    const page = await client.sync(
      { room_list: { p: { since: first["room_list"].p.next } }, account_data: {} },
      { since: first.next, timeout: 300_000 },
    );
    expect(Object.keys(page).sort()).toEqual(["next", "room_list"]);
    expect([page.next, listed(page)]).toEqual([first.next, [rooms.b]]);
    // The page neither took news from the stream nor was anything remembered.
    const then = await client.sync({}, { since: page.next });
    expect(Object.keys(then).sort()).toEqual(["next", "to_device", "typing"]);
  });

  it("D14: only p.since and p.limit have an effect, for that request alone", async () => {
    const { client, room } = scene(t, { others: ["@b:test", "@c:test", "@d:test"] });
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 1, sort: "by_name" } } });
    const since = first["room_members"].p.next;
    const page = await client.sync(
      { room_members: { room_id: "!other:test", membership: ["leave"], p: { since, limit: 2, sort: "by_pl" } } },
      { since: first.next },
    );
    expect([membersOf(page), page["room_members"].p]).toEqual([
      ["@c:test", "@d:test"],
      { limit: 2, sort: "by_name", next: expect.any(String) as unknown },
    ]);
    const again = await client.sync({ room_members: { p: { since } } }, { since: first.next });
    expect([membersOf(again), again["room_members"].p.limit]).toEqual([["@c:test"], 1]);
  });

  it("D14: pages of two streams come in one answer", async () => {
    const { client, room, rooms } = await fourRooms();
    const first = await client.sync({
      room_members: { room_id: room, p: { limit: 2, sort: "by_name" } },
      room_list: { p: { limit: 1, sort: "by_name" } },
    });
    const page = await client.sync(
      { room_members: { p: { since: first["room_members"].p.next } }, room_list: { p: { since: first["room_list"].p.next } } },
      { since: first.next },
    );
    expect([membersOf(page), listed(page)]).toEqual([[client.userId], [rooms.b]]);
  });

  it("D14 D15: tokens that cannot be used here are 400 M_INVALID_PARAM, and the text says to ask for page 1", async () => {
    const { client, room } = await fourRooms();
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 1 } }, room_list: { p: { limit: 1 } } });
    const member = String(first["room_members"].p.next);
    const list = String(first["room_list"].p.next);
    const altered = `${list.slice(0, -1)}${list.endsWith("A") ? "B" : "A"}`;
    for (const body of [
      { room_list: { p: { since: "nonsense" } } },
      { room_list: { p: { since: "" } } },
      { room_list: { p: { since: "2" } } },
      { room_list: { p: { since: altered } } },
      { room_list: { p: { since: member } } },
      { room_members: { p: { since: list } } },
      { room_list: { p: { since: first.next } } },
    ]) {
      const reply = await client.request(body, { since: first.next });
      expect([reply.status, reply.body["errcode"]], JSON.stringify(body)).toEqual([400, "M_INVALID_PARAM"]);
      expect(reply.body["error"]).toContain('"1"');
    }
    const without = await client.request({ room_list: { p: { since: list } } });
    expect([without.status, without.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    expect((await client.request({ room_list: { p: { since: member } } }, { since: "gone" })).body["errcode"]).toBe("M_UNKNOWN_SYNC_SESSION");
  });

  it("D14: page tokens go with their own since, not with an earlier or later one of the session", async () => {
    const { client, room } = await fourRooms();
    const first = await client.sync({ room_list: { p: { limit: 1 } } });
    await t.deliver(client, v2({ join: { [room]: { timeline: [ev.message("@b:test")] } } }));
    const later = await client.sync({}, { since: first.next });
    const one = await client.sync({ room_list: { p: { since: "1" } } }, { since: later.next });
    for (const [token, since] of [
      [first, later.next],
      [one, first.next],
    ] as const) {
      const reply = await client.request({ room_list: { p: { since: token["room_list"].p.next } } }, { since });
      expect([reply.status, reply.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    }
  });

  it("D15: when the snapshot is no longer stored it is 400 M_INVALID_PARAM, and page 1 helps", async () => {
    const { client, rooms } = await fourRooms();
    const first = await client.sync({ room_list: { p: { limit: 1, sort: "by_name" } } });
    // As retention does, after an hour and more.
    await t.sql`delete from list_snapshots where session in (select session from sessions join accounts using (account) where user_id = ${client.userId})`;
    const reply = await client.request({ room_list: { p: { since: first["room_list"].p.next } } }, { since: first.next });
    expect([reply.status, reply.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    expect(reply.body["error"]).toContain('"1"');
    const one = await client.sync({ room_list: { p: { since: "1", limit: 2 } } }, { since: first.next });
    expect(listed(one)).toEqual([rooms.a, rooms.b]);
  });

  it("D15: page tokens are opaque, URL-safe and never 1", async () => {
    const { client, room } = await fourRooms();
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 1 } }, room_list: { p: { limit: 1 } } });
    for (const token of [first["room_members"].p.next, first["room_list"].p.next]) {
      expect(token).toMatch(/^[\w.~-]+$/);
      expect(token).not.toBe("1");
    }
  });

  it("D15: p.next is absent on the last page and in deltas", async () => {
    const { client, room, deliver } = await fourRooms();
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 3 } }, room_list: { p: { limit: 4 } } });
    expect(first["room_members"].p).toEqual({ limit: 3, sort: "by_pl" });
    expect(first["room_list"].p).toEqual({ limit: 4, sort: ["by_recency"] });
    await deliver({ timeline: [1, 2, 3, 4, 5].map((n) => ev.member(`@x${n}:test`)) });
    const delta = await client.sync({}, { since: first.next });
    expect([membersOf(delta)?.length, delta["room_members"].p]).toEqual([3, { limit: 3, sort: "by_pl" }]);
    expect(delta["room_list"].p).toEqual({ limit: 4, sort: ["by_recency"] });
  });
});

describe("D16: page one", () => {
  /** Asks for page one of a stream. */
  const ONE = { room_members: { room_members: { p: { since: "1" } } }, room_list: { room_list: { p: { since: "1" } } } };

  it("D16 R21: the first answer is page one, so that page 1 waits right after it", async () => {
    const { client, room } = await fourRooms();
    const first = await client.sync({ room_members: { room_id: room }, room_list: { p: { limit: 2 } } });
    for (const body of [ONE.room_members, ONE.room_list]) {
      const started = performance.now();
      expect(Object.keys(await client.sync(body, { since: first.next, timeout: SHORT }))).toEqual(["next"]);
      expect(performance.now() - started + 2).toBeGreaterThanOrEqual(SHORT);
    }
  });

  it("D16 R21: for members it waits until page one is no longer what it was, then it comes in full", async () => {
    const { client, room, deliver, me } = scene(t, { others: ["@b:test", "@z:test"] });
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 2, sort: "by_name" } } });
    const one = await client.sync(ONE.room_members, { since: first.next, timeout: 0 });
    const { answer: waiting } = await hang(client, ONE.room_members, { since: one.next, timeout: 60_000 });
    await deliver({ timeline: [ev.member("@zz:test")] });
    await deliver({ timeline: [ev.member("@a:test")] });
    const news = await waiting;
    expect(membersOf(news)).toEqual(["@a:test", "@b:test"]);
    const rest = await client.sync({ room_members: { p: { since: news["room_members"].p.next, limit: 9 } } }, { since: news.next });
    expect(membersOf(rest)).toEqual([me, "@z:test", "@zz:test"]);
  });

  it("D16: another order of the same members is another page one", async () => {
    const { client, room, deliver, me } = scene(t, { others: ["@b:test"] });
    const first = await client.sync({ room_members: { room_id: room } });
    expect(membersOf(first)).toEqual([me, "@b:test"]);
    const { answer: waiting } = await hang(client, ONE.room_members, { since: first.next, timeout: 60_000 });
    await deliver({ timeline: [ev.powerLevels(me, { [me]: 50, "@b:test": 100 })] });
    expect(membersOf(await waiting)).toEqual(["@b:test", me]);
  });

  it("D16: for rooms any field counts, and rooms of later pages do not", async () => {
    const { client, room, rooms, me } = await fourRooms();
    const first = await client.sync({ room_list: { p: { limit: 2, sort: "by_name" } } });
    expect(listed(first)).toEqual([rooms.a, rooms.b]);
    const { answer: waiting } = await hang(client, ONE.room_list, { since: first.next, timeout: 60_000 });
    await t.deliver(client, v2({ join: { [room]: { timeline: [ev.message("@b:test")] } } }));
    await t.deliver(client, v2({ join: { [rooms.b]: { unread: { notification_count: 3 } } } }));
    const news = await waiting;
    expect(news["room_list"].rooms).toMatchObject([
      { room_id: rooms.a, name: "a" },
      { room_id: rooms.b, name: "b", notification_count: 3 },
    ]);
    const { answer: moved } = await hang(client, ONE.room_list, { since: news.next, timeout: 60_000 });
    await t.deliver(client, v2({ join: { [room]: { timeline: [ev.name(me, "0")] } } }));
    expect(listed(await moved)).toEqual([room, rooms.a]);
  });

  it("D16: in all other cases it is answered at once: other parameters, after a delta, another session's start", async () => {
    const { client, room, deliver, me } = scene(t, { others: ["@b:test"] });
    const first = await client.sync({ room_members: { room_id: room } });
    const shorter = await client.sync({ room_members: { p: { since: "1", limit: 1 } } }, { since: first.next, timeout: 60_000 });
    expect(membersOf(shorter)).toEqual([me]);
    await deliver({ timeline: [ev.member("@c:test")] });
    const delta = await client.sync({}, { since: shorter.next });
    expect(membersOf(delta)).toEqual(["@c:test"]);
    const one = await client.sync(ONE.room_members, { since: delta.next, timeout: 60_000 });
    expect(membersOf(one)).toEqual([me]);
    expect(membersOf(await client.sync({ room_members: { room_id: room, p: { since: "1" } } }, { timeout: 60_000 }))).toEqual([
      me,
      "@b:test",
      "@c:test",
    ]);
  });

  it("D16: next advances to page one: deltas continue behind it", async () => {
    const { client, room, deliver } = scene(t);
    const first = await client.sync({ room_members: { room_id: room } });
    await deliver({ timeline: [ev.member("@b:test")] });
    const one = await client.sync(ONE.room_members, { since: first.next });
    expect(membersOf(one)).toEqual([client.userId, "@b:test"]);
    expect(Object.keys(await client.sync({}, { since: one.next }))).toEqual(["next"]);
    await deliver({ timeline: [ev.member("@c:test")] });
    expect(membersOf(await client.sync({}, { since: one.next }))).toEqual(["@c:test"]);
  });

  it("D16 D7: news of another stream ends the wait and leaves page one out", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ room_members: { room_id: room }, typing: { room_id: room } });
    const { answer: waiting } = await hang(client, ONE.room_members, { since: first.next, timeout: 60_000 });
    await type("@b:test");
    const answer = await waiting;
    expect(Object.keys(answer).sort()).toEqual(["next", "typing"]);
    // Page one is still this token's last answer for the stream.
    expect(Object.keys(await client.sync(ONE.room_members, { since: answer.next, timeout: SHORT }))).toEqual(["next"]);
  });
});

describe("D17 R16: negotiation", () => {
  it("D17 R16: zero, negative and absent limits are the default, larger ones the maximum, and the answer says which", async () => {
    const { client, room } = scene(t);
    for (const [limit, sent] of [
      [0, [50, 20, 100]],
      [-5, [50, 20, 100]],
      [undefined, [50, 20, 100]],
      [null, [50, 20, 100]],
      [7, [7, 7, 7]],
      [999_999, [1000, 100, 1000]],
    ] as const) {
      const answer = await client.sync({ room_members: { room_id: room, p: { limit } }, room_list: { p: { limit } }, to_device: { limit } });
      expect([answer["room_members"].p.limit, answer["room_list"].p.limit, answer["to_device"].limit], String(limit)).toEqual(sent);
    }
  });

  it("R16 B18: unknown sorts are dropped, none left is the default, and the answer says so", async () => {
    const { client, room } = scene(t);
    for (const [sort, members, list] of [
      ["by_magic", "by_pl", ["by_recency"]],
      [["by_magic", "by_name"], "by_name", ["by_name"]],
      [[], "by_pl", ["by_recency"]],
      [["by_name", "by_recency", "x"], "by_name", ["by_name", "by_recency"]],
    ] as const) {
      const answer = await client.sync({ room_members: { room_id: room, p: { sort } }, room_list: { p: { sort } } });
      expect([answer["room_members"].p.sort, answer["room_list"].p.sort]).toEqual([members, list]);
    }
  });
});
