/**
 * N6: what strict clients cannot parse is left out or made valid, each item alone, in sync v3 and in both dialects of sliding sync. That every
 * answer can be read is checked by the clients that get them; here it is what of them is left.
 */

import { describe, expect, it } from "vitest";
import { EveryFace, type FaceAnswers } from "../support/every-face.ts";
import { ev, type Json, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

const LONE = "\ud800";

/** A user whose homeserver says so, as text: JSON.stringify would not write all of it. */
async function afterHearing(answer: (place: { me: string; room: string }) => Json | string) {
  const one = scene(t, { others: ["@bob:test"] });
  one.client.checksAnswers = false;
  const faces = new EveryFace(one.client, one.room);
  await faces.next();
  const said = answer(one);
  count += 1;
  const text = typeof said === "string" ? said : JSON.stringify(said);
  t.hs.queueSync(one.client.token, text.replace(/^\{/, `{"next_batch":"hostile${count}",`).replace(",}", "}"));
  await t.hs.waitForPoll(one.client.token);
  const [later, whole] = [await faces.next(), await faces.whole()];
  expect(await t.sql`select error from poison join accounts using (account) where user_id = ${one.me}`).toEqual([]);
  return { ...one, later, whole };
}
let count = 0;

const inRoom = (room: string, parts: string) => `{"rooms":{"join":{${JSON.stringify(room)}:${parts}}}}`;
const e2eeOf = ({ unstable, v4, v3 }: FaceAnswers): Json[] => [
  unstable.extensions["e2ee"] as Json,
  v4.extensions["e2ee"] as Json,
  v3["e2ee"] as Json,
];
const allAre = (value: unknown) => [value, value, value];

const typingIn = ({ unstable, v4, v3 }: FaceAnswers, room: string): unknown[] => [
  unstable.extensions["typing"].rooms[room]?.content.user_ids,
  v4.extensions["typing"].rooms[room]?.content.user_ids,
  (v3["typing"].events as { room_id: string; content: { user_ids: string[] } }[]).find((event) => event.room_id === room)?.content.user_ids,
];

describe("N6: a device's data", () => {
  it("N6: key counts that are no counts are left out, and those that can be read are made integers", async () => {
    const counts =
      '{"signed_curve25519":50.0,"a":"50","b":null,"c":-1,"d":1.5,"e":[5],"f":18446744073709551616,"g":9007199254740992,"h":1e2,"\\ud800":5,"i":0,"j":-0}';
    const { later } = await afterHearing(() => `{"device_one_time_keys_count":${counts}}`);
    const sound = { signed_curve25519: 50, a: 50, h: 100, i: 0, j: 0 };
    expect(e2eeOf(later).map((e2ee) => e2ee["device_one_time_keys_count"])).toEqual(allAre(sound));
  });

  it("N6: fallback key types that are no text are left out", async () => {
    const { later } = await afterHearing(() => '{"device_unused_fallback_key_types":[5,"signed_curve25519",null,["x"],"\\ud800",{}]}');
    expect(e2eeOf(later).map((e2ee) => e2ee["device_unused_fallback_key_types"])).toEqual(allAre(["signed_curve25519"]));
  });

  it("N6: device lists contain nothing but valid user ids", async () => {
    const changed = [
      "x",
      "@no-server",
      "@a:",
      "@a:ho st",
      "@a:b:99999",
      "@ü ber:[::1]:8448",
      "@:a.b",
      "@ok:test",
      "!r:test",
      5,
      null,
      `@${LONE}:test`,
      `@${"a".repeat(250)}:test`,
    ];
    const { later } = await afterHearing(() => ({ device_lists: { changed, left: ["y", "@gone:test"] } }));
    const sound = { changed: ["@:a.b", "@ok:test", "@ü ber:[::1]:8448"], left: ["@gone:test"] };
    expect(e2eeOf(later).map((e2ee) => e2ee["device_lists"])).toEqual(allAre(sound));
  });

  it("N6: to-device messages are sent as they are, whatever is in them", async () => {
    const messages = [{ type: 5, sender: "x", content: LONE }, {}, { a: null }, toDevice("@bob:test")];
    const { whole } = await afterHearing(() => ({ to_device: { events: messages } }));
    const sections = [whole.unstable.extensions["to_device"], whole.v4.extensions["to_device"], whole.v3["to_device"]];
    expect(sections.map((section) => (section as { events: unknown[] }).events)).toEqual(allAre(messages));
  });
});

describe("N6: a room", () => {
  const rooms = ({ unstable, v4 }: FaceAnswers, room: string) => [unstable.rooms[room] ?? {}, v4.rooms[room] ?? {}];
  const entry = ({ v3 }: FaceAnswers, room: string) => (v3["room_list"].rooms as Json[]).find((one) => one["room_id"] === room) ?? {};

  it("N6: a lone surrogate in its name and avatar becomes U+FFFD", async () => {
    const { room, later, whole } = await afterHearing(({ me, room: id }) =>
      v2({ join: { [id]: { timeline: [ev.name(me, `a${LONE}b`), ev.state("m.room.avatar", "", me, { url: `mxc://test/${LONE}` })] } } }),
    );
    for (const answers of [later, whole])
      for (const told of [...rooms(answers, room), entry(answers, room)])
        expect([told["name"], told["avatar"]]).toEqual(["a\ufffdb", "mxc://test/\ufffd"]);
    // The events are as they came.
    const named = ((later.unstable.rooms[room]?.["timeline"] ?? []) as Json[]).find((event) => event["type"] === "m.room.name");
    expect(named?.["content"]).toEqual({ name: `a${LONE}b` });
  });

  it("N6: heroes are user ids, with well-formed names", async () => {
    const { room, later, whole } = await afterHearing(({ room: id }) =>
      v2({
        join: {
          [id]: {
            timeline: [
              ev.member("@bob:test", "join", { displayname: `B${LONE}`, avatar_url: LONE }),
              ev.member("nobody", "join", { displayname: "N" }),
            ],
            summary: { "m.heroes": ["nobody", "@bob:test", "@x", 5, LONE], "m.joined_member_count": 3 },
          },
        },
      }),
    );
    for (const answers of [later, whole])
      for (const told of [...rooms(answers, room), entry(answers, room)])
        expect(told["heroes"]).toEqual([{ user_id: "@bob:test", displayname: "B\ufffd", avatar_url: "\ufffd" }]);
  });

  it("N6: so are those that the server finds itself", async () => {
    const { room, whole } = await afterHearing(({ room: id }) =>
      v2({ join: { [id]: { timeline: [ev.member("a-nobody", "join"), ev.member("@carol:test", "join")] } } }),
    );
    for (const told of [...rooms(whole, room), entry(whole, room)])
      expect((told["heroes"] as { user_id: string }[]).map((hero) => hero.user_id)).toEqual(["@bob:test", "@carol:test"]);
  });

  it("N6: the stripped state of an invite is sent as it is, whatever user ids it contains", async () => {
    const stripped = [ev.member("nobody", "join", {}), ev.member("@eve:test", "join", { displayname: LONE }), ev.name("x", `n${LONE}`)];
    const { whole } = await afterHearing(({ me }) => v2({ invite: { "!invite:test": [...stripped, ev.member(me, "invite", {}, { sender: "x" })] } }));
    expect(whole.unstable.rooms["!invite:test"]?.["invite_state"]).toHaveLength(4);
    expect(whole.v4.rooms["!invite:test"]?.["invite_state"]).toHaveLength(4);
    const invite = whole.v3["invites"].rooms["!invite:test"] as { invite_state: { events: unknown[] } };
    expect(invite.invite_state.events).toHaveLength(4);
  });

  it("N6: a room without a room id is left out, alone; one of room version 12 is not", async () => {
    const { whole } = await afterHearing(({ me }) => {
      const section = { state: newRoom(me) };
      return v2({
        join: { "no-room:test": section, "#a:test": section, [`!${LONE}`]: section, "!AbC-12_no-server": section },
        leave: { "@left:test": { timeline: [ev.member(me, "leave")] } },
        invite: { "": [], x: [ev.member(me, "invite")], "!ok:test": [ev.member(me, "invite", {}, { sender: "@bob:test" })] },
      });
    });
    const sound = (ids: Iterable<string>) => [...ids].filter((id) => !id.startsWith("!room")).sort();
    for (const { rooms: of } of [whole.unstable, whole.v4]) expect(sound(Object.keys(of))).toEqual(["!AbC-12_no-server", "!ok:test"]);
    expect(sound((whole.v3["room_list"].rooms as { room_id: string }[]).map((one) => one.room_id))).toEqual(["!AbC-12_no-server"]);
    expect(Object.keys(whole.v3["invites"].rooms as object)).toEqual(["!ok:test"]);
  });

  it("N6: invalid counts are ignored", async () => {
    const counts = (value: string) =>
      `{"unread_notifications":{"notification_count":${value},"highlight_count":${value}},"summary":{"m.joined_member_count":${value},"m.invited_member_count":${value}}}`;
    for (const value of ["-1", '"5"', "1.5", "1e999", "9007199254740993", "[]", "null"]) {
      const { room, whole } = await afterHearing(({ room: id }) => inRoom(id, counts(value))); // oxlint-disable-line no-await-in-loop -- one user after the other
      for (const told of [rooms(whole, room)[0] ?? {}, entry(whole, room)])
        expect([told["notification_count"], told["highlight_count"], told["joined_count"], told["invited_count"]], value).toEqual([0, 0, 2, 0]);
    }
    const { room, whole } = await afterHearing(({ room: id }) => inRoom(id, counts("5.0")));
    for (const told of [rooms(whole, room)[0] ?? {}, entry(whole, room)]) expect([told["notification_count"], told["joined_count"]]).toEqual([5, 5]);
  });

  it("N6: tags are sent with well-formed text, and nested no deeper than clients can read", async () => {
    const tags = `{"u.\\ud800":{"order":0.5},"m.favourite":{"order":1e999,"\\udc00":"\\ud800"},"u.deep":${'{"a":'.repeat(20)}1${"}".repeat(20)}}`;
    const { room, whole } = await afterHearing(({ room: id }) =>
      inRoom(id, `{"account_data":{"events":[{"type":"m.tag","content":{"tags":${tags}}}]}}`),
    );
    expect(entry(whole, room)["tags"]).toEqual({ "u.\ufffd": { order: 0.5 }, "m.favourite": { order: null, "\ufffd": "\ufffd" }, "u.deep": {} });
  });

  it("N6: the order of a space's child is ignored if its time is invalid", async () => {
    const { client, me } = scene(t);
    const [space, child] = ["!space:test", "!child:test"];
    const link = JSON.stringify(ev.spaceChild(me, child)).replace(/"origin_server_ts":\d+/, '"origin_server_ts":1e999');
    const section = (events: string) => `{"state":{"events":[${events}]}}`;
    const state = (content: Json) =>
      newRoom(me, content)
        .map((event) => JSON.stringify(event))
        .join();
    await client.sync({});
    const join = `{${JSON.stringify(space)}:${section(`${state({ type: "m.space" })},${link}`)},${JSON.stringify(child)}:${section(state({}))}}`;
    t.hs.queueSync(client.token, `{"next_batch":"space","rooms":{"join":${join}}}`);
    await t.hs.waitForPoll(client.token);
    const { room_list: list } = await client.sync({ room_list: { spaces: [space], p: { sort: "by_space_order" } } });
    expect((list.rooms as Json[]).map((one) => one["space_order"])).toEqual([{ order: null, origin_server_ts: 0 }]);
  });
});

describe("N6: what comes and goes", () => {
  const receiptsIn = ({ unstable, v4, v3 }: FaceAnswers, room: string): unknown[] =>
    [unstable.extensions["receipts"], v4.extensions["receipts"], v3["receipts"]].map((section) => section.rooms[room]?.content);

  it("N6: who types is a list of user ids", async () => {
    const { room, later } = await afterHearing(({ room: id }) =>
      v2({ join: { [id]: { ephemeral: [typing("@bob:test", "x", "@y", LONE, "@z:te st")] } } }),
    );
    expect(typingIn(later, room)).toEqual(allAre(["@bob:test"]));
  });

  it("N6: only receipts of valid users on valid events are sent, with a valid time and thread", async () => {
    const on = (data: string) => `{"m.read":{"@bob:test":${data}}}`;
    const content = `{"$int:test":${on('{"ts":5.0,"thread_id":null}')},"$not-v3":{"m.read":{"@carol:test":{"ts":1,"ts":2,"thread_id":"main"},"nobody":{"ts":1}}},
      "no-event":${on('{"ts":1}')},"$a:b c":${on('{"ts":1}')},"$list":${on("[]")},"$thread":{"m.read":{"@dave:test":{"ts":1,"thread_id":"$t:b c"},"@eve:test":{"thread_id":5},
      "@frank:test":{"ts":-1,"thread_id":"$root"},"@grace:test":{"ts":null,"\\ud800":1,"x":1.0}}}}`;
    const { room, later } = await afterHearing(({ room: id }) => inRoom(id, `{"ephemeral":{"events":[{"type":"m.receipt","content":${content}}]}}`));
    const sound = {
      "$int:test": { "m.read": { "@bob:test": { ts: 5 } } },
      "$not-v3": { "m.read": { "@carol:test": { ts: 2, thread_id: "main" } } },
      $thread: { "m.read": { "@frank:test": { thread_id: "$root" }, "@grace:test": { x: 1 } } },
    };
    expect(receiptsIn(later, room)).toEqual(allAre(sound));
  });

  it("N6: presence is that of users, and has a content", async () => {
    const fine = { type: "m.presence", sender: "@bob:test", content: { presence: "online" } };
    const { later } = await afterHearing(() =>
      v2({
        presence: [
          { ...fine, sender: "x" },
          { ...fine, sender: "@a:test", content: [] },
          { ...fine, sender: "@b:test", type: 5 },
          { ...fine, sender: "@c:test", content: undefined },
          fine,
        ],
      }),
    );
    expect(later.v3["presence"].events).toEqual([fine]);
  });

  it("N6: account data is sent as it is, whatever is in it", async () => {
    const events = [{ type: "org.list", content: [] }, { type: "org.none" }, { type: "org.lone", content: { [LONE]: LONE } }];
    const { whole } = await afterHearing(() => v2({ account_data: events }));
    const global = [
      whole.unstable.extensions["account_data"].global,
      whole.v4.extensions["account_data"].global,
      whole.v3["account_data"].global,
    ] as Json[][];
    for (const list of global) expect(list).toEqual(expect.arrayContaining(events));
  });

  it("N6: an ignored user whose id no database takes does not stop the account", async () => {
    const { whole, room } = await afterHearing(() =>
      v2({
        account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { "@a\0:test": {}, [`@${LONE}:test`]: {}, "@eve:test": {} } } }],
      }),
    );
    expect(whole.unstable.rooms[room]).toBeDefined();
  });
});

describe("N6: what an older version has stored", () => {
  it("N6: is sent as far as strict clients can read it", async () => {
    const { client, room, me } = scene(t, { others: ["@bob:test"] });
    const faces = new EveryFace(client, room);
    await faces.next();
    await t.deliver(
      client,
      v2({
        join: {
          [room]: { ephemeral: [receipt("$e:test", "@bob:test"), receipt("$f:test", "@carol:test"), typing("@bob:test", "@carol:test")] },
          "!odd:test": { state: newRoom(me) },
        },
        invite: { "!odd-invite:test": [ev.member(me, "invite", {}, { sender: "@bob:test" })] },
        device_lists: { changed: ["@bob:test", "@carol:test"] },
      }),
    );
    await spoil(client, room, me);
    // No answer comes that would say the counts anew.
    t.hs.holdSync(client.token);
    await t.restart();
    const { unstable, v4, v3 } = await faces.whole();
    for (const e2ee of [unstable.extensions["e2ee"], v4.extensions["e2ee"], v3["e2ee"]] as Json[]) {
      expect(e2ee["device_one_time_keys_count"]).toEqual({ signed_curve25519: 50 });
      expect(e2ee["device_unused_fallback_key_types"]).toEqual(["signed_curve25519"]);
    }
    const entry = (v3["room_list"].rooms as Json[]).find((one) => one["room_id"] === room);
    for (const told of [unstable.rooms[room], v4.rooms[room], entry] as Json[]) {
      expect([told["name"], told["avatar"]]).toEqual(["a\ufffd", "b\ufffd"]);
    }
    expect(entry?.["heroes"]).toEqual([{ user_id: "@bob:test", displayname: "\ufffd" }]);
    for (const answers of [unstable, v4]) expect(Object.keys(answers.rooms)).toEqual([room]);
    expect([v3["room_list"].rooms.length, v3["invites"].rooms]).toEqual([1, {}]);
    expect(typingIn({ unstable, v4, v3 }, room)).toEqual(allAre(["@bob:test"]));
    const later = await faces.next();
    expect((later.unstable.extensions["e2ee"] as Json)["device_lists"]).toEqual({ changed: ["@bob:test"], left: [] });
    expect((later.v4.extensions["receipts"] as { rooms: Record<string, { content: unknown }> }).rooms[room]?.content).toEqual({
      "$f:test": { "m.read": { "@carol:test": { ts: 5 } } },
    });
  });
});

/** Puts into the database what version 0.1 would have. */
async function spoil(client: V3Client, room: string, me: string): Promise<void> {
  const facts = { name: `a${LONE}`, avatar: `b${LONE}`, heroes: [{ user_id: "nobody" }, { user_id: "@bob:test", displayname: LONE }] };
  const [row] = await t.sql<{ account: number; facts: string }[]>`
    select account, facts from room_facts join accounts using (account) where user_id = ${me} and room_id = ${room} and to_ord = 9223372036854775807`;
  const stored = JSON.parse(row?.facts ?? "{}") as Json;
  const spoilt = JSON.stringify({ ...stored, ...facts, sources: { ...(stored["sources"] as Json), name: facts.name, avatar: facts.avatar } });
  const account = row?.account ?? 0;
  await t.sql`update room_facts set facts = ${spoilt} where account = ${account} and room_id = ${room} and to_ord = 9223372036854775807`;
  await t.sql`update devices set one_time_keys = '{"signed_curve25519":50.0,"x":-1}', fallback_keys = '[5,"signed_curve25519"]' where account = ${account}`;
  await t.sql`update device_lists set user_id = 'carol' where user_id = '@carol:test' and device in (select device from devices where account = ${account})`;
  await t.sql`update receipts set user_id = 'bob' where account = ${account} and user_id = '@bob:test'`;
  await t.sql`update receipts set data = '{"ts":5.0,"thread_id":null}' where account = ${account} and user_id = '@carol:test'`;
  await t.sql`update typing set users = '["@bob:test","carol"]' where account = ${account} and room_id = ${room}`;
  for (const table of ["rooms", "room_facts", "standings", "timeline", "state", "members", "invites"])
    // oxlint-disable-next-line no-await-in-loop -- one table after the other
    await t.sql`update ${t.sql(table)} set room_id = substr(room_id, 2) where account = ${account} and room_id like '!odd%'`;
  await t.sql`update accounts set ignored = '["@a\\u0000:test"]' where account = ${account}`;
  expect(client.userId).toBe(me);
}
