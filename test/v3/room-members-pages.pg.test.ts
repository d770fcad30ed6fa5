import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { incompressibleText } from "../support/lengths.ts";
import { RoomRoutes, users } from "../support/rooms.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
let t: V3Fixture;
let routes: RoomRoutes;
let rooms = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

/** A room with these members and a new user, loaded lazily, so that only /members returns all of them. */
function room(members: MatrixEvent[], state: MatrixEvent[] = newRoom(ALICE).filter((event) => event.type !== "m.room.member")) {
  rooms += 1;
  const id = `!members${rooms}:test`;
  const me = ev.member(`@me${rooms}:test`);
  routes.members(id, [...members, me]);
  const client = t.login(me.sender, "PHONE", v2({ join: { [id]: { state: [...state, me], timeline: [ev.message(ALICE)] } } }));
  return { id, me: me.sender, client };
}

const named = (user: string, displayname: string) => ev.member(user, "join", { displayname });
const withoutMe = (events: MatrixEvent[]) => users(events).filter((user) => !user?.startsWith("@me"));

async function allPages(client: V3Client, id: string, p: Record<string, unknown>): Promise<string[]> {
  const first = await client.sync({ room_members: { room_id: id, p } });
  const sent = users(first["room_members"].events);
  let next: string | undefined = first["room_members"].p.next;
  while (next !== undefined) {
    const page = await client.sync({ room_members: { p: { since: next } } }, { since: first.next });
    expect(page.next).toBe(first.next);
    sent.push(...users(page["room_members"].events));
    next = page["room_members"].p.next;
  }
  return sent.map(String);
}

describe("names of any length", () => {
  const long = `!${incompressibleText(3000).toLowerCase()}`;
  const members = [
    named("@a:test", `${long}z`),
    named("@b:test", `${long}a`),
    named("@c:test", long.slice(0, 499)),
    named("@d:test", "é".repeat(20_000)),
    named("@e:test", `${"é".repeat(20_000)}x`),
    named("@f:test", "𐐀".repeat(3000)),
    named("@g:test", "\0\ud800".repeat(3000)),
    named("@h:test", "Hannah"),
  ];
  /** By code point of the first 500 characters; if those are equal, by user id. */
  const order = ["@c:test", "@a:test", "@b:test", "@h:test", "@d:test", "@e:test", "@g:test", "@f:test"];

  it.each([
    ["by_name", 1],
    ["by_name", 3],
    ["by_pl", 2],
  ])("N2 S3 I5: fetched, they are paged %s, %d at a time: each once, ties beyond the cut by user id", async (sort, limit) => {
    const { id, client } = room(members);
    client.checksAnswers = false;
    const sent = await allPages(client, id, { limit, sort });
    expect(sent.filter((user) => !user.startsWith("@me"))).toEqual(order);
    expect(sent).toHaveLength(order.length + 1);
  });

  it("N2: sent by a poll, they are stored and sent, and so is what comes after them", async () => {
    const { id, me, client } = room([ev.member(ALICE)]);
    client.checksAnswers = false;
    const first = await client.sync({ room: { room_id: id } });
    await t.deliver(client, v2({ join: { [id]: { timeline: members } } }));
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.message(me, "after")] } } }));
    const { room: sent } = await client.sync({}, { since: first.next });
    expect(sent.rooms[id].timeline.events.map((event: MatrixEvent) => event.sender)).toEqual([...members.map((event) => event.sender), me]);
    expect(sent.rooms[id].timeline.events[0].content.displayname).toBe(`${long}z`);
  });
});

describe("TestHandlerRoomMember", () => {
  it("TestHandlerRoomMember S3: all members of a DM room without a token, with the defaults", async () => {
    const { id, client } = room([ev.member(BOB), ev.member(ALICE)]);
    const { room_members: answer } = await client.sync({ room_members: { room_id: id } });
    expect(withoutMe(answer.events)).toEqual([ALICE, BOB]);
    expect(answer.p).toEqual({ limit: 50, sort: "by_pl" });
    expect(answer.events[0]).toMatchObject({ type: "m.room.member", room_id: id, content: { membership: "join" } });
  });

  it("TestHandlerRoomMember R17 R18 R19: pages of a big room continue with the first answer's token, and do not move it", async () => {
    const { id, client } = room(["@alice:test", "@eve:test", "@charlie:test", "@doris:test", "@bob:test"].map((user) => ev.member(user)));
    expect(await allPages(client, id, { limit: 2, sort: "by_name" })).toEqual([
      "@alice:test",
      "@bob:test",
      "@charlie:test",
      "@doris:test",
      "@eve:test",
      expect.stringMatching(/^@me/),
    ]);
  });

  it("TestHandlerRoomMember S3: sorting by power level and by name", async () => {
    const members = [named(ALICE, "ZAlice"), ev.member(BOB), named("@charlie:test", "YCharlie")];
    const a = room(members);
    expect(withoutMe((await a.client.sync({ room_members: { room_id: a.id, p: { sort: "by_name" } } }))["room_members"].events)).toEqual([
      BOB,
      "@charlie:test",
      ALICE,
    ]);
    const b = room(members);
    expect(withoutMe((await b.client.sync({ room_members: { room_id: b.id, p: { sort: "by_pl" } } }))["room_members"].events)).toEqual([
      ALICE,
      BOB,
      "@charlie:test",
    ]);
  });

  it("TestHandlerRoomMember R18 I5: who joins while the client paginates is in no page", async () => {
    const members = ["@alice:test", "@bob:test", "@charlie:test", "@doris:test", "@eve:test"].map((user) => ev.member(user));
    const { id, client } = room(members);
    const first = await client.sync({ room_members: { room_id: id, membership: ["join"], p: { limit: 4, sort: "by_name" } } });
    expect(users(first["room_members"].events)).toEqual(["@alice:test", "@bob:test", "@charlie:test", "@doris:test"]);
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.member("@frank:test"), ev.member("@aaron:test")] } } }));
    const page = await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next, timeout: 20_000 });
    expect(withoutMe(page["room_members"].events)).toEqual(["@eve:test"]);
  });
});

describe("order", () => {
  it("S3: names compare case-folded by code point, the user id without @ stands in, the user id breaks ties", async () => {
    const members = [
      named("@1:test", "STRASSE b"),
      named("@2:test", "straße a"),
      named("@3:test", "Ärger"),
      named("@5:test", "zoe"),
      named("@4:test", "Zoe"),
      ev.member("@Strange:test"),
      named("@9:test", ""),
    ];
    const { id, client } = room(members);
    expect(withoutMe((await client.sync({ room_members: { room_id: id, p: { sort: "by_name" } } }))["room_members"].events)).toEqual([
      "@9:test",
      "@Strange:test",
      "@2:test",
      "@1:test",
      "@4:test",
      "@5:test",
      "@3:test",
    ]);
  });

  it("S3 B44: levels given as strings count; the rest have users_default; then by name", async () => {
    const levels = ev.powerLevels(ALICE, { [ALICE]: 50, [BOB]: "100", "@c:test": "-5", "@d:test": "much" }, { users_default: 10 });
    const { id, client } = room(
      ["@d:test", "@c:test", ALICE, "@e:test", BOB].map((user) => ev.member(user)),
      [ev.create(ALICE), levels],
    );
    expect(withoutMe((await client.sync({ room_members: { room_id: id } }))["room_members"].events)).toEqual([
      BOB,
      ALICE,
      "@d:test",
      "@e:test",
      "@c:test",
    ]);
  });

  it("S3 B44: without power levels the creator has 100", async () => {
    const { id, client } = room(
      ["@a:test", "@z:test", "@m:test"].map((user) => ev.member(user)),
      [ev.create("@z:test")],
    );
    expect(withoutMe((await client.sync({ room_members: { room_id: id } }))["room_members"].events)).toEqual(["@z:test", "@a:test", "@m:test"]);
  });

  it("S3: from room version 12 on creators rank above all levels; before, a power level event is all that counts", async () => {
    const levels = ev.powerLevels(ALICE, { "@m:test": 1000 });
    const members = ["@a:test", "@z:test", "@m:test"].map((user) => ev.member(user));
    const twelve = room(members, [ev.create("@z:test", { room_version: "12", additional_creators: ["@a:test"] }), levels]);
    expect(withoutMe((await twelve.client.sync({ room_members: { room_id: twelve.id } }))["room_members"].events)).toEqual([
      "@a:test",
      "@z:test",
      "@m:test",
    ]);
    for (const content of [{ room_version: "11" }, { room_version: undefined }]) {
      const old = room(members, [ev.create("@z:test", content), levels]);
      expect(withoutMe((await old.client.sync({ room_members: { room_id: old.id } }))["room_members"].events)).toEqual([
        "@m:test",
        "@a:test",
        "@z:test",
      ]);
    }
  });
});

describe("parameters", () => {
  it("S3: membership chooses whom pages hold; joined and invited by default", async () => {
    const members = [
      ev.member("@j:test"),
      ev.member("@i:test", "invite"),
      ev.member("@l:test", "leave"),
      ev.member("@b:test", "ban"),
      ev.member("@k:test", "knock"),
    ];
    const { id, client } = room(members);
    const first = await client.sync({ room_members: { room_id: id } });
    expect(withoutMe(first["room_members"].events)).toEqual(["@i:test", "@j:test"]);
    const gone = await client.sync({ room_members: { membership: ["leave", "ban"] } }, { since: first.next });
    expect(users(gone["room_members"].events)).toEqual(["@b:test", "@l:test"]);
    const all = await client.sync({ room_members: { membership: null } }, { since: gone.next });
    expect(withoutMe(all["room_members"].events)).toEqual(["@i:test", "@j:test"]);
  });

  it("D17 R16 B18 B19: the answer says the effective limit and sort", async () => {
    const { id, client } = room([ev.member(ALICE)]);
    const p = async (asked: Record<string, unknown>) => (await client.sync({ room_members: { room_id: id, p: asked } }))["room_members"].p;
    expect(await p({ limit: 0 })).toEqual({ limit: 50, sort: "by_pl" });
    expect(await p({ limit: -3 })).toEqual({ limit: 50, sort: "by_pl" });
    expect(await p({ limit: 5000, sort: "by_magic" })).toEqual({ limit: 1000, sort: "by_pl" });
    expect(await p({ limit: 7, sort: ["by_magic", "by_name"] })).toEqual({ limit: 7, sort: "by_name" });
  });

  it("S3 D13: another sort, room or membership starts the stream: page one, also in mid-session", async () => {
    const a = room([ev.member(ALICE), named("@zoe:test", "Aaa")]);
    const first = await a.client.sync({ room_members: { room_id: a.id } });
    const sorted = await a.client.sync({ room_members: { p: { sort: "by_name" } } }, { since: first.next });
    expect(withoutMe(sorted["room_members"].events)).toEqual(["@zoe:test", ALICE]);
    const limited = await a.client.sync({ room_members: { p: { limit: 1 } } }, { since: sorted.next, timeout: 50 });
    expect(limited).toEqual({ next: expect.any(String) });
  });

  it("D13 R5: another room starts at its page one; a page token of the room before is refused (D15)", async () => {
    const { id, me, client } = room([ev.member(ALICE), ev.member(BOB)]);
    const second = `${id}2`;
    routes.members(second, [ev.member("@x:test"), ev.member(me)]);
    await client.sync();
    await t.deliver(client, v2({ join: { [second]: { state: newRoom(ALICE), timeline: [ev.member(me)] } } }));
    const first = await client.sync({ room_members: { room_id: id, p: { limit: 1 } } });
    const other = await client.sync({ room_members: { room_id: second, p: { limit: 9 } } }, { since: first.next });
    expect(users(other["room_members"].events).toSorted()).toEqual([me, "@x:test"].toSorted());
    const reply = await client.request({ room_members: { p: { since: first["room_members"].p.next } } }, { since: other.next });
    expect([reply.status, reply.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
  });

  it("D8: the stream is there the first time, also without a room", async () => {
    const { client } = room([ev.member(ALICE)]);
    expect((await client.sync({ room_members: {} }))["room_members"]).toEqual({ events: [], p: { limit: 50, sort: "by_pl" } });
  });

  it("S3 B45: changing the limit on the way neither skips nor repeats (D15)", async () => {
    const names = Array.from({ length: 23 }, (_, n) => `@u${String(n).padStart(2, "0")}:test`);
    const { id, client } = room(names.map((user) => ev.member(user)));
    const first = await client.sync({ room_members: { room_id: id, p: { limit: 4, sort: "by_name" } } });
    const sent = users(first["room_members"].events);
    let next = first["room_members"].p.next;
    for (const limit of [1, 9, 3, 1000]) {
      const page = await client.sync({ room_members: { p: { since: next, limit } } }, { since: first.next });
      expect(page["room_members"].p.limit).toBe(limit);
      sent.push(...users(page["room_members"].events));
      next = page["room_members"].p.next;
    }
    expect(next).toBeUndefined();
    expect(sent.filter((user) => !user?.startsWith("@me"))).toEqual(names);
  });
});

it("S3 I5: a room of 20 000 members", async () => {
  const { id, client } = room(Array.from({ length: 20_000 }, (_, n) => ev.member(`@u${n}:test`, "join", { displayname: `Name ${n % 100}` })));
  const sent = await allPages(client, id, { limit: 1000 });
  expect(sent).toHaveLength(20_001);
  expect(new Set(sent).size).toBe(20_001);
}, 60_000);

describe("page one and page tokens", () => {
  it("D16 R21 B46: page 1 waits while it is what the last answer was, then comes in full, newest", async () => {
    const { id, client } = room([ev.member(ALICE), ev.member("@carl:test")]);
    const first = await client.sync({ room_members: { room_id: id, membership: ["join"], p: { limit: 2, sort: "by_name", since: "1" } } });
    expect(users(first["room_members"].events)).toEqual([ALICE, "@carl:test"]);
    const same = await client.sync({ room_members: { p: { since: "1" } } }, { since: first.next, timeout: 100 });
    expect(same).toEqual({ next: expect.any(String) });
    const waiting = client.sync({ room_members: { p: { since: "1" } } }, { since: same.next, timeout: 30_000 });
    // A change on page two is no news.
    await t.deliver(
      client,
      v2({ join: { [id]: { timeline: [ev.member("@zoe:test")] } } }),
      v2({ join: { [id]: { timeline: [ev.member("@bea:test")] } } }),
    );
    const then = await waiting;
    expect(users(then["room_members"].events)).toEqual([ALICE, "@bea:test"]);
    expect(then["room_members"].p.next).toEqual(expect.any(String));
    const page = await client.sync({ room_members: { p: { since: then["room_members"].p.next, limit: 9 } } }, { since: then.next });
    expect(users(page["room_members"].events)).toEqual(["@carl:test", expect.stringMatching(/^@me/), "@zoe:test"]);
  });

  it("D16: page 1 comes at once after a delta, with another limit, and goes back to deltas without it", async () => {
    const { id, client } = room([ev.member(ALICE)]);
    const first = await client.sync({ room_members: { room_id: id, membership: ["join"] } });
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.member(BOB)] } } }));
    const delta = await client.sync({}, { since: first.next });
    expect(users(delta["room_members"].events)).toEqual([BOB]);
    expect(delta["room_members"].p).not.toHaveProperty("next");
    const one = await client.sync({ room_members: { p: { since: "1" } } }, { since: delta.next, timeout: 30_000 });
    expect(withoutMe(one["room_members"].events)).toEqual([ALICE, BOB]);
    const shorter = await client.sync({ room_members: { p: { since: "1", limit: 1 } } }, { since: one.next, timeout: 30_000 });
    expect(users(shorter["room_members"].events)).toEqual([ALICE]);
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.member("@zz:test")] } } }));
    expect(users((await client.sync({}, { since: shorter.next }))["room_members"].events)).toEqual(["@zz:test"]);
  });

  it("D14 D15: page tokens with another since, none, or another stream's are 400 M_INVALID_PARAM; p.since is not sticky", async () => {
    const { id, client } = room([ev.member(ALICE), ev.member(BOB)]);
    const first = await client.sync({ room_members: { room_id: id, p: { limit: 1 } } });
    const since = first["room_members"].p.next;
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.member("@n:test")] } } }));
    const later = await client.sync({}, { since: first.next });
    for (const [body, at] of [
      [{ room_members: { p: { since } } }, later.next],
      [{ room_members: { p: { since } } }, undefined],
      [{ room_list: { p: { since } } }, first.next],
      [{ room_members: { room_id: id, p: { since: "nonsense" } } }, first.next],
    ] as const) {
      const reply = await client.request(body, { since: at });
      expect([reply.status, reply.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    }
    const page = await client.sync({ room_members: { p: { since } } }, { since: first.next });
    expect(users(page["room_members"].events)).toHaveLength(1);
    const delta = await client.sync({}, { since: page.next });
    expect(users(delta["room_members"].events)).toEqual(["@n:test"]);
  });

  it("D15: another session's page token is refused", async () => {
    const { id, client } = room([ev.member(ALICE), ev.member(BOB)]);
    const a = await client.sync({ room_members: { room_id: id, p: { limit: 1 } } });
    const b = await client.sync({ room_members: { room_id: id, p: { limit: 1 } } });
    const reply = await client.request({ room_members: { p: { since: a["room_members"].p.next } } }, { since: b.next });
    expect([reply.status, reply.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    expect(String(reply.body["error"])).toContain('"1"');
  });

  it("I5 B48: a redaction between two pages moves no member to another page; the event is sent redacted, and the order changes with the next snapshot", async () => {
    const secret = named("@x:test", "aaa secret");
    const { id, client } = room([secret, named("@b:test", "bbb"), named("@c:test", "ccc")]);
    const params = { room_id: id, p: { limit: 1, sort: "by_name" } };
    const first = await client.sync({ room_members: params });
    expect(users(first["room_members"].events)).toEqual(["@x:test"]);
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.event("m.room.redaction", ALICE, {}, { redacts: secret.event_id })] } } }));
    const rest = await client.sync({ room_members: { p: { since: first["room_members"].p.next, limit: 9 } } }, { since: first.next });
    expect(withoutMe(rest["room_members"].events)).toEqual(["@b:test", "@c:test"]);
    const fresh = await client.sync({ room_members: { ...params, p: { sort: "by_name" } } });
    expect(withoutMe(fresh["room_members"].events)).toEqual(["@b:test", "@c:test", "@x:test"]);
    expect(JSON.stringify(fresh)).not.toContain("secret");
    // It happened to an event that was sent already, so no member event is sent.
    expect(await client.sync({}, { since: first.next })).toEqual({ next: expect.any(String) });
  });

  it("D22 D15: pages continue after a restart", async () => {
    const { id, client } = room(["@a:test", "@b:test", "@c:test"].map((user) => ev.member(user)));
    const first = await client.sync({ room_members: { room_id: id, membership: ["join"], p: { limit: 2, sort: "by_name" } } });
    await t.restart();
    const page = await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
    expect(users(page["room_members"].events)).toEqual(["@c:test", expect.stringMatching(/^@me/)]);
  });
});
