/** Whatever length a client's texts have: an answer, or a 4xx that says what is wrong. Never a fault of the server. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "./support/fake-homeserver.ts";
import { pathsOf, replaced } from "./support/json-paths.ts";
import { anyText, incompressibleText, plainText } from "./support/lengths.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { startV3, type Reply, type V3Client, type V3Fixture } from "./support/v3.ts";

let t: V3Fixture;
let client: V3Client;
const ME = "@alice:test";
const ROOM = "!a:test";
const SPACE = "!space:test";

beforeAll(async () => {
  t = await startV3();
  const rooms = {
    [ROOM]: { state: newRoom(ME), timeline: [ev.message(ME)] },
    [SPACE]: { state: [...newRoom(ME, { type: "m.space" }), ev.spaceChild(ME, ROOM)] },
  };
  client = t.login(ME, "PHONE", v2({ join: rooms }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", { body: { chunk: [] } });
  await client.sync();
});
afterAll(() => t.stop());

/** A body with a text of any length in place of one of its texts, or as a key of one of its maps. */
function changed(body: Json, maps: readonly (readonly string[])[]): fc.Arbitrary<unknown> {
  const places = pathsOf(body).filter((path) => typeof at(body, path) === "string");
  const inText = fc.tuple(fc.constantFrom(...places), anyText()).map(([path, text]) => replaced(body, path, text));
  if (maps.length === 0) return inText;
  const inKey = fc.tuple(fc.constantFrom(...maps), anyText()).map(([path, text]) => {
    const [value] = Object.values(at(body, path) as Json);
    return replaced(body, path, { [text]: value });
  });
  return fc.oneof({ weight: 3, arbitrary: inText }, { weight: 1, arbitrary: inKey });
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Json)[key], value);
}

function expectNoFault({ status, text, body }: Reply): void {
  expect(status, text.slice(0, 300)).toBeLessThan(500);
  if (status === 400) expect(body).toMatchObject({ errcode: expect.stringMatching(/^M_/) as unknown, error: expect.any(String) as unknown });
}

const V3_BODY = {
  typing: { room_id: ROOM },
  room_members: { room_id: ROOM, membership: ["join", "invite"], p: { sort: ["by_name"], since: "1" } },
  room: {
    room_id: ROOM,
    types: ["m.*", "x"],
    not_types: ["y"],
    state: [
      ["m.room.name", ""],
      ["m.room.member", ME],
    ],
    room_member_sort: "by_pl",
    earliest_timeline_event_ids: ["$e1"],
  },
  room_list: {
    p: { sort: ["by_name"] },
    state_events: [["m.room.topic", ""]],
    spaces: [SPACE],
    filters: { tags: ["u.a"], not_tags: ["u.b"], room_types: ["m.space"], not_room_types: ["z"], room_name_like: "a" },
  },
  account_data: { rooms: [ROOM] },
  receipts: { room_id: ROOM },
};

describe("sync v3", () => {
  it("N11: any text of a body is worked with, or refused by the name of its field", async () => {
    const { next } = await client.sync({ room: { room_id: ROOM } });
    await fc.assert(
      fc.asyncProperty(changed(V3_BODY, []), fc.boolean(), async (body, later) => {
        const reply = await client.request(body as Json, later ? { since: next } : {});
        expectNoFault(reply);
        const texts = pathsOf(body).map((path) => at(body, path));
        const odd = texts.some((text) => typeof text === "string" && (text.includes("\0") || !text.isWellFormed()));
        if (odd)
          expect(reply).toMatchObject({
            status: 400,
            body: { errcode: "M_BAD_JSON", error: expect.stringMatching(/^[a-z_.0-9]+: must be text without NUL/) as unknown },
          });
      }),
      { numRuns: 60 },
    );
  });

  it("N11: since and timeout of any length", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom("since", "timeout"), plainText(), fc.boolean(), async (name, text, nul) => {
        const query = `${name}=${encodeURIComponent(text)}${nul ? "%00" : ""}`;
        // What is too long for a request line is refused by Node itself.
        expect([400, 414, 431]).toContain((await client.fetch("POST", `/_matrix/client/v3/sync?${query}x`, "{}")).status);
      }),
      { numRuns: 30 },
    );
  });

  it("N11: a page token is taken back, however long the list of memberships that it holds", async () => {
    const members = ["@b:test", "@c:test", "@d:test"].map((user) => ev.member(user));
    const room = "!pages:test";
    const bob = t.login("@bob:test", "PHONE", v2({ join: { [room]: { state: [...newRoom("@bob:test"), ...members] } } }));
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/members`, { body: { chunk: [ev.member("@bob:test"), ...members] } });
    const membership = ["join", ...Array.from({ length: 99 }, (_, n) => incompressibleText(200 + n))];
    const first = await bob.sync({ room_members: { room_id: room, membership, p: { limit: 2, sort: "by_name" } } });
    const page = await bob.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
    const told = [first, page].flatMap((answer) => answer["room_members"].events as { state_key: string }[]);
    expect(told.map((event) => event.state_key)).toEqual(["@b:test", "@bob:test", "@c:test", "@d:test"]);
  });
});

const CONFIG = {
  unstable: {
    required_state: [
      ["m.room.name", ""],
      ["m.room.member", "$LAZY"],
      ["m.room.member", ME],
    ],
  },
  v4: {
    timeline_limit: 1,
    required_state: {
      include: [
        { type: "m.room.name", state_key: "" },
        { type: "m.room.member", state_key: ME },
      ],
      exclude: [{ type: "x", state_key: "y" }],
    },
  },
};
const FILTERS = { spaces: [SPACE], room_types: ["m.space"], not_room_types: ["z"], tags: ["u.a"], not_tags: ["u.b"] };
const SCOPED = { enabled: true, lists: ["all"], rooms: [ROOM] };

describe.each(DIALECTS)("sliding sync (%s)", (dialect) => {
  const config = CONFIG[dialect];
  const window = dialect === "v4" ? { range: [0, 9] } : { ranges: [[0, 9]] };
  const body = {
    conn_id: "c",
    ...(dialect === "unstable" && { txn_id: "t" }),
    lists: {
      all: { ...config, ...window },
      some: { ...config, ...window, filters: { ...FILTERS, ...(dialect === "unstable" && { room_name_like: "a" }) } },
    },
    room_subscriptions: { [ROOM]: config },
    extensions: { account_data: SCOPED, receipts: SCOPED, typing: SCOPED, e2ee: { enabled: true }, to_device: { enabled: true, since: "s3d_1_0" } },
  };

  it("N11: any text of a body is worked with, or refused in words", async () => {
    const phone = new SlidingClient(client, dialect);
    await fc.assert(
      fc.asyncProperty(changed(body, [["lists"], ["room_subscriptions"]]), async (one) => {
        const first = await phone.post(one as Json);
        expectNoFault(first);
        if (first.status !== 200) return;
        // The connection goes on from there.
        expect((await phone.post(one as Json, { pos: first.body["pos"] as string })).status).toBe(200);
      }),
      { numRuns: 60 },
    );
  });

  it("N11: a pos of any length that syncv3 did not issue is unknown", async () => {
    const phone = new SlidingClient(client, dialect);
    await fc.assert(
      fc.asyncProperty(plainText(), fc.constantFrom("", "\0", "syncv3_"), async (text, odd) => {
        expect([400, 414, 431]).toContain((await phone.post(body, { pos: `${odd}${text}x` })).status);
      }),
      { numRuns: 30 },
    );
  });

  it("N11: required state of a long name and key is found by it, and by no other that begins alike", async () => {
    const [type, key] = [incompressibleText(300), incompressibleText(5000)];
    const me = `@named-${dialect}:test`;
    const room = `!named-${dialect}:test`;
    const states = [ev.state(type, key, me, { n: 1 }), ev.state(type, `${key}x`, me, { n: 2 }), ev.state(`${type}x`, key, me, { n: 3 })];
    const phone = new SlidingClient(t.login(me, "PHONE", v2({ join: { [room]: { state: [...newRoom(me), ...states] } } })), dialect);
    const told = async (connId: string, pair: readonly [string, string]) => {
      const answer = await phone.sync({ connId, subs: { [room]: { limit: 0, state: [pair] } } });
      return ((answer.rooms[room]?.["required_state"] ?? []) as { content: { n: number } }[]).map((event) => event.content.n);
    };
    expect(await told("one", [type, key])).toEqual([1]);
    expect((await told("type", [type, "*"])).toSorted()).toEqual([1, 2]);
    expect((await told("key", ["*", key])).toSorted()).toEqual([1, 3]);
  });
});

describe("what passes through", () => {
  it("N11: a transaction id of any length", async () => {
    let sent = 0;
    t.hs.on("PUT", "/_matrix/client/v3/rooms/:room/send/:type/:txn", () => ({ body: { event_id: `$sent${(sent += 1)}` } }));
    await fc.assert(
      fc.asyncProperty(plainText(), fc.constantFrom("", "\0"), async (text, odd) => {
        const txn = `${text.slice(0, 900).toWellFormed()}x${odd}`;
        const path = `/_matrix/client/v3/rooms/${encodeURIComponent(ROOM)}/send/m.room.message/${encodeURIComponent(txn)}`;
        const reply = await client.fetch("PUT", path, "{}");
        expect(reply.status, reply.text).toBe(200);
        const kept = await t.sql`select txn_id from sent_events where event_id = ${`$sent${sent}`}`;
        expect(kept.map((row) => String(row["txn_id"]))).toEqual(odd === "" ? [txn] : []);
      }),
      { numRuns: 20 },
    );
  });

  it("N11: log-outs of devices whose names cannot be stored, beside others", async () => {
    const user = "@carol:test";
    const devices = [incompressibleText(3000), "TABLET", "LAPTOP"];
    const clients = devices.map((device) => t.login(user, device, v2()));
    for (const one of clients) await one.sync();
    t.hs.on("POST", "/_matrix/client/v3/delete_devices", { body: {} });
    const gone = JSON.stringify({ devices: ["nul\0", "\ud800", devices[0], devices[1]] });
    expect((await clients[2]?.fetch("POST", "/_matrix/client/v3/delete_devices", gone))?.status).toBe(200);
    const left = await t.sql`select device_id from devices join accounts using (account) where user_id = ${user}`;
    expect(left.map((row) => String(row["device_id"]))).toEqual(["LAPTOP"]);
  });
});

describe("whoami", () => {
  it("N11: a device id of any length is worked with, and is one device whatever its token", async () => {
    let users = 0;
    await fc.assert(
      fc.asyncProperty(anyText(), async (text) => {
        users += 1;
        const user = `@user${users}:test`;
        const phone = t.login(user, `D${text}`, v2({ join: { [`!r${users}:test`]: { state: newRoom(user) } } }));
        expect(Object.keys((await phone.sync({ room: { room_id: `!r${users}:test` } }))["room"].rooms)).toHaveLength(1);
        for (const dialect of DIALECTS) await new SlidingClient(phone, dialect).sync({ lists: { all: { ranges: [[0, 9]] } } });
        await t.refresh(phone).sync();
        const [row] = await t.sql`select count(*) as count from devices join accounts using (account) where user_id = ${user}`;
        expect(row?.["count"]).toBe(1);
      }),
      { numRuns: 15 },
    );
  });

  it("N11: if the homeserver names an invalid user id for a token, the error says that it is the homeserver's fault", async () => {
    for (const user of [`@${"a".repeat(300)}:test`, "@x:nul\0"]) {
      const odd = t.login(user, "PHONE", v2());
      expect(await odd.request()).toMatchObject({
        status: 502,
        body: { errcode: "M_UNKNOWN", error: expect.stringContaining("no user_id") as unknown },
      });
    }
  });
});
