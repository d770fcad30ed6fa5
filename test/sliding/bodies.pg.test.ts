/** Which requests are valid, and the errors for those that are not. */

import { describe, expect, it } from "vitest";
import { ev, type Json, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Ask, DIALECTS, type DialectName, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const fresh = (dialect: DialectName) => new SlidingClient(scene(t).client, dialect);
const many = (count: number, value: Json): Json => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, value]));

/** A user in a room with this many messages. */
async function talkative(dialect: DialectName, count: number) {
  const { client, me, room } = scene(t);
  const phone = new SlidingClient(client, dialect);
  await phone.sync();
  const timeline = Array.from({ length: count }, () => ev.message("@bob:test"));
  await t.deliver(client, v2({ join: { [room]: { timeline } } }));
  return { phone, room, me };
}

describe.each(DIALECTS)("bodies (%s)", (dialect) => {
  const config = dialect === "v4" ? { timeline_limit: 1, required_state: {} } : {};

  it("M8: an empty body, and one of unknown keys and extensions, is a request for nothing", async () => {
    const phone = fresh(dialect);
    for (const body of ["", "{}", '{"unknown":1,"extensions":{"org.example.x":{"enabled":true},"io.element.y":7}}']) {
      const { status, body: answer } = await phone.post(body);
      expect([status, answer]).toEqual([200, { pos: expect.any(String) as unknown, rooms: {}, extensions: {} }]);
    }
  });

  it("M8: what is not JSON is M_NOT_JSON, and what is no object M_BAD_JSON", async () => {
    const phone = fresh(dialect);
    const { pos } = await phone.sync(ALL);
    for (const text of ["{", "nonsense", "{} {}", "\u00ff"]) expect((await phone.post(text)).body["errcode"], text).toBe("M_NOT_JSON");
    for (const text of ["[]", "1", '"x"', "null"]) expect((await phone.post(text)).body["errcode"], text).toBe("M_BAD_JSON");
    expect((await phone.request(ALL, { pos })).status, "none of them touched the connection").toBe(200);
  });

  it("M8: a wrong type is M_BAD_JSON and names the field", async () => {
    const phone = fresh(dialect);
    const wrong: readonly [field: string, body: Json][] = [
      ["conn_id", { conn_id: 1 }],
      ["timeout", { timeout: "soon" }],
      ["pos", { pos: 5 }],
      ["lists", { lists: [] }],
      ["lists.a", { lists: { a: 1 } }],
      ["lists.a.timeline_limit", { lists: { a: { ...config, timeline_limit: "1" } } }],
      ["lists.a.timeline_limit", { lists: { a: { ...config, timeline_limit: 1.5 } } }],
      ["lists.a.required_state", { lists: { a: { ...config, required_state: "all" } } }],
      ["lists.a.filters.is_dm", { lists: { a: { ...config, filters: { is_dm: "yes" } } } }],
      ["lists.a.filters.room_types", { lists: { a: { ...config, filters: { room_types: "m.space" } } } }],
      ["room_subscriptions", { room_subscriptions: [] }],
      ["room_subscriptions.!a:test.timeline_limit", { room_subscriptions: { "!a:test": { ...config, timeline_limit: true } } }],
      ["extensions", { extensions: true }],
      ["extensions.to_device.since", { extensions: { to_device: { enabled: true, since: 5 } } }],
      ["extensions.typing.enabled", { extensions: { typing: { enabled: 1 } } }],
      ["extensions.receipts.lists", { extensions: { receipts: { enabled: true, lists: "a" } } }],
    ];
    for (const [field, body] of wrong) {
      const { status, body: answer } = await phone.post(body);
      expect([status, answer["errcode"]], field).toEqual([400, "M_BAD_JSON"]);
      expect(answer["error"]).toContain(field);
    }
  });

  it("M8: a value out of its bounds is M_INVALID_PARAM", async () => {
    const phone = fresh(dialect);
    const range = (from: number, to: number) => (dialect === "v4" ? { range: [from, to] } : { ranges: [[from, to]] });
    const wrong: Json[] = [
      { timeout: -1 },
      { conn_id: "x".repeat(256) },
      { lists: { a: { ...config, ...range(5, 4) } } },
      { lists: { a: { ...config, ...range(-1, 4) } } },
      { lists: { a: { ...config, timeline_limit: -1 } } },
      { lists: { ["x".repeat(300)]: config } },
      { lists: many(101, config) },
      ...(dialect === "v4" ? [{ room_subscriptions: many(101, config) }] : []),
    ];
    for (const body of wrong) {
      const { status, body: answer } = await phone.post(body);
      expect([status, answer["errcode"]], JSON.stringify(body).slice(0, 80)).toEqual([400, "M_INVALID_PARAM"]);
    }
    expect((await phone.post({ lists: many(100, config), room_subscriptions: many(100, config) })).status).toBe(200);
  });

  it("M8: a timeline_limit of more than 100 counts as 100", async () => {
    const { phone, room } = await talkative(dialect, 102);
    const { rooms } = await phone.sync({ subs: { [room]: { limit: 1000 } } });
    expect([timelineIds(rooms[room]).length, rooms[room]?.["limited"]]).toEqual([100, true]);
  });

  it("M8 M59: names with odd characters are names, and no error of ours", async () => {
    const phone = fresh(dialect);
    const odd = ["\u0000", "a\u0000b", "\ud800", "%00", "'; --", "\u202e", "__proto__", "constructor", "😀".repeat(20)];
    for (const name of odd) {
      const state = [["m.room.name", name] as const, [name, ""] as const, ["m.room.member", name] as const];
      const scope = { enabled: true, lists: [name], rooms: [name] };
      const answer = await phone.request({
        lists: { a: { state, filters: { spaces: [name], room_types: [name], tags: [name] } } },
        subs: JSON.parse(`{${JSON.stringify(name)}:{}}`) as Ask["subs"] & object,
        ext: { typing: scope, receipts: scope, account_data: scope },
      });
      expect([answer.status, answer.body["errcode"]], JSON.stringify(name)).toEqual([200, undefined]);
      const pos = answer.body["pos"] as string;
      expect((await phone.request({ lists: { a: { state } } }, { pos })).status, JSON.stringify(name)).toBe(200);
      const named = await phone.request({ connId: name });
      const isText = name.isWellFormed() && !name.includes("\u0000");
      expect([named.status, named.body["errcode"]], JSON.stringify(name)).toEqual(isText ? [200, undefined] : [400, "M_INVALID_PARAM"]);
    }
  });

  it("M8: a request that is refused changes nothing", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(ALL);
    for (const body of [
      { conn_id: "test", lists: 1 },
      { conn_id: "test", timeout: -1 },
    ])
      expect((await phone.post(body)).status).toBe(400);
    expect((await phone.request(ALL, { pos })).status).toBe(200);
  });

  it("M8: only POST is this API", async () => {
    const { client } = scene(t);
    const path = dialect === "v4" ? "/_matrix/client/v4/sync" : "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    const { status, body } = await client.fetch("GET", path);
    expect([status >= 400 && status < 500, body["errcode"]]).toEqual([true, "M_UNRECOGNIZED"]);
  });

  it("M8: without a token it is 401", async () => {
    const { client } = scene(t);
    const nobody = new SlidingClient(t.clientOf(client.userId, "PHONE", ""), dialect);
    const { status, body } = await nobody.post({});
    expect([status, body["errcode"]]).toEqual([401, "M_MISSING_TOKEN"]);
    const unknown = new SlidingClient(t.clientOf(client.userId, "PHONE", "nonsense"), dialect);
    expect((await unknown.post({})).body["errcode"]).toBe("M_UNKNOWN_TOKEN");
  });
});

describe("bodies of the unstable dialect", () => {
  it("M8: pos and timeout are taken in the query or the body, the query's where both are", async () => {
    const { client, deliver, room } = scene(t);
    const phone = new SlidingClient(client, "unstable");
    const body = { conn_id: "c", lists: { all: {} } };
    const first = await phone.post(body);
    const pos = first.body["pos"] as string;
    const message = ev.message("@bob:test");
    const waiting = phone.post({ ...body, pos, timeout: 60_000 });
    await deliver({ timeline: [message] });
    const reply = await waiting;
    expect(timelineIds(reply.body["rooms"][room])).toEqual([message.event_id]);
    expect((await phone.post({ ...body, pos: "nonsense" }, { pos })).status).toBe(200);
    expect((await phone.post({ ...body, pos }, { pos: "nonsense" })).status).toBe(400);
    expect((await phone.post({ ...body, timeout: 60_000 }, { pos: reply.body["pos"] as string, timeout: 0 })).status).toBe(200);
  });

  it("M8: a timeout in the query that is no number is M_INVALID_PARAM", async () => {
    const { client } = scene(t);
    for (const timeout of ["x", "-1", "1.5", ""]) {
      const path = `/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=${timeout}`;
      expect((await client.fetch("POST", path, "{}")).body["errcode"], timeout).toBe("M_INVALID_PARAM");
    }
  });

  it("M8: txn_id is echoed, and only where it is there", async () => {
    const phone = fresh("unstable");
    const first = await phone.post({ txn_id: "m1" });
    expect(first.body).toMatchObject({ txn_id: "m1" });
    const pos = first.body["pos"] as string;
    expect((await phone.post({ txn_id: "m2" }, { pos })).body).toMatchObject({ txn_id: "m2" });
    expect((await phone.post({}, { pos })).body).not.toHaveProperty("txn_id");
  });

  it("M8: what clients leave out, or send as null, or from an older time, does no harm", async () => {
    const { phone, room } = await talkative("unstable", 25);
    const bare = await phone.post({
      conn_id: null,
      txn_id: null,
      lists: {
        a: {
          ranges: null,
          required_state: null,
          timeline_limit: null,
          filters: { is_dm: null, tags: null },
          sort: ["by_recency"],
          bump_event_types: ["m.room.message"],
          include_old_rooms: { timeline_limit: 0 },
        },
      },
      room_subscriptions: null,
      unsubscribe_rooms: null,
      extensions: { to_device: null, typing: { enabled: null }, receipts: {} },
      delta_token: "x",
    });
    expect(bare.status).toBe(200);
    // The default timeline_limit is 20.
    expect(timelineIds(bare.body["rooms"][room])).toHaveLength(20);
    expect(bare.body["extensions"]).toEqual({});
  });

  it("M8: a timeline_limit of more than 1000 is refused", async () => {
    const phone = fresh("unstable");
    for (const [where, body] of [
      ["lists.a.timeline_limit", { lists: { a: { timeline_limit: 1001 } } }],
      ["room_subscriptions.!r:test.timeline_limit", { room_subscriptions: { "!r:test": { timeline_limit: 1001 } } }],
    ] as const) {
      const { status, body: answer } = await phone.post(body);
      expect([status, answer["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
      expect(answer["error"]).toContain(where);
    }
  });

  it("M8: rooms and extensions are always there, and lists where they were asked for", async () => {
    const phone = fresh("unstable");
    expect(Object.keys((await phone.post({ conn_id: "x" })).body).sort()).toEqual(["extensions", "pos", "rooms"]);
    expect(Object.keys((await phone.post({ conn_id: "x", lists: { a: {} } })).body).sort()).toEqual(["extensions", "lists", "pos", "rooms"]);
  });
});

describe("bodies of v4", () => {
  it("M8: what the MSC requires must be there, and the error names it", async () => {
    const phone = fresh("v4");
    for (const lacking of ["timeline_limit", "required_state"]) {
      const config: Json = { timeline_limit: 1, required_state: {} };
      delete config[lacking];
      for (const body of [{ lists: { a: config } }, { room_subscriptions: { "!a:test": config } }]) {
        const { status, body: answer } = await phone.post(body);
        expect([status, answer["errcode"]]).toEqual([400, "M_BAD_JSON"]);
        expect(answer["error"]).toContain(lacking);
      }
    }
  });

  it("M8: bounds of the MSC are M_INVALID_PARAM", async () => {
    const phone = fresh("v4");
    const config = { timeline_limit: 1, required_state: {} };
    const wrong: Json[] = [
      { set_presence: "away" },
      { room_subscriptions: many(101, config) },
      { lists: { "with space": config } },
      { lists: { "": config } },
      { extensions: { to_device: { enabled: true, limit: 0 } } },
      { extensions: { to_device: { enabled: true, limit: -5 } } },
    ];
    for (const body of wrong) expect((await phone.post(body)).body["errcode"], JSON.stringify(body).slice(0, 80)).toBe("M_INVALID_PARAM");
    for (const set_presence of ["online", "offline", "unavailable"]) expect((await phone.post({ set_presence })).status).toBe(200);
  });

  it("M8: a to_device limit that is no positive integer is M_INVALID_PARAM, whatever its type (MSC4538)", async () => {
    const phone = fresh("v4");
    for (const name of ["to_device", "org.matrix.msc4538.to_device"]) {
      for (const limit of [0, -1, 1.5, "10", null, true]) {
        const { status, body } = await phone.post({ extensions: { [name]: { enabled: true, limit } } });
        expect([status, body["errcode"]], `${name} ${String(limit)}`).toEqual([400, "M_INVALID_PARAM"]);
        expect(body["error"]).toContain(`extensions.${name}.limit`);
      }
    }
  });

  describe("what clients of the older form send", () => {
    const PATH = "/_matrix/client/v4/sync";
    const OLDER = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    const current = { timeline_limit: 1, required_state: {} };

    it("M8: pos and timeout in the query are taken, since they can mean nothing else; the body's count where both are", async () => {
      const { client, deliver, room } = scene(t);
      const body = JSON.stringify({ conn_id: "c", lists: { all: current } });
      const first = await client.fetch("POST", PATH, body);
      const pos = encodeURIComponent(first.body["pos"] as string);
      const waiting = client.fetch("POST", `${PATH}?pos=${pos}&timeout=60000`, body);
      const message = ev.message("@bob:test");
      await deliver({ timeline: [message] });
      const then = await waiting;
      expect([timelineIds(then.body["rooms"][room]), then.body["rooms"][room]["initial"]]).toEqual([[message.event_id], undefined]);
      const both = JSON.stringify({ conn_id: "c", lists: { all: current }, pos: then.body["pos"] as string, timeout: 0 });
      expect((await client.fetch("POST", `${PATH}?pos=nonsense&timeout=60000`, both)).body["rooms"]).toEqual({});
      expect((await client.fetch("POST", `${PATH}?pos=nonsense`, body)).body["errcode"]).toBe("M_UNKNOWN_POS");
      expect((await client.fetch("POST", `${PATH}?timeout=soon`, body)).body["errcode"]).toBe("M_INVALID_PARAM");
    });

    it.each([
      ["lists.a.ranges", "`range`", { lists: { a: { ...current, ranges: [[0, 19]] } } }],
      ["lists.a.required_state", '{"include":', { lists: { a: { ...current, required_state: [["m.room.name", ""]] } } }],
      ["lists.a.required_state", '{"include":', { lists: { a: { ...current, required_state: [] } } }],
      ["lists.a.filters.is_invite", "`is_invited`", { lists: { a: { ...current, filters: { is_invite: true } } } }],
      ["room_subscriptions.!a:b.required_state", '{"include":', { room_subscriptions: { "!a:b": { ...current, required_state: [["*", "*"]] } } }],
    ] as const)("M8: %s is refused with what to send instead", async (field, instead, body) => {
      const phone = fresh("v4");
      const { status, body: answer } = await phone.post(body);
      expect([status, answer["errcode"]]).toEqual([400, "M_BAD_JSON"]);
      for (const part of [field, instead, OLDER]) expect(answer["error"]).toContain(part);
    });

    it("M8: beside what v4 has, they are as good as any unknown key", async () => {
      const phone = fresh("v4");
      const list = { ...current, range: [0, 9], ranges: [[0, 9]], filters: { is_invited: false, is_invite: false }, slow_get_all_rooms: true };
      const { status, body } = await phone.post({ lists: { a: list }, unsubscribe_rooms: [], txn_id: "t" });
      expect([status, body["lists"]]).toEqual([200, { a: { count: 1 } }]);
    });
  });
});
