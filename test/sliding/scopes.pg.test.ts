/** Which rooms extensions cover, and whether they are sent at all. */

import { describe, expect, it } from "vitest";
import { type Json, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { type Scene, scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { newsOf, SHORT } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";
const ROOM_EXTENSIONS = ["account_data", "receipts", "typing"] as const;
type Scope = { readonly lists?: readonly string[]; readonly rooms?: readonly string[] };

/** A user in five rooms, newest first: two in the window of `near`, two more in that of `far`, and one in none. */
async function fiveRooms(dialect: DialectName) {
  const one = scene(t);
  const phone = new SlidingClient(one.client, dialect);
  await phone.sync();
  const rooms = ["e", "d", "c", "b", "a"].map((name) => `${one.room}${name}`);
  for (const room of rooms) await t.deliver(one.client, v2({ join: { [room]: { state: newRoom(one.me) } } }));
  await t.deliver(one.client, v2({ leave: { [one.room]: {} } }));
  const [e = "", d = "", c = "", b = "", a = ""] = rooms;
  const names = new Map(rooms.map((room) => [room, room.slice(one.room.length)]));
  const ask = (scope: Scope | null, subs: readonly string[] = [c, e]): Ask => ({
    lists: { near: { ranges: [[0, 1]], limit: 1 }, far: { ranges: [[0, 3]], limit: 1 } },
    subs: Object.fromEntries(subs.map((room) => [room, { limit: 1 }])),
    ...(scope && { ext: Object.fromEntries(ROOM_EXTENSIONS.map((name) => [name, { enabled: true, ...scope }])) }),
  });
  let count = 0;
  /** Sends data of each kind to every room. */
  const tell = async () => {
    count += 1;
    const parts = {
      ephemeral: [typing(`@u${count}:test`), receipt(`$r${count}`, one.me)],
      account_data: [{ type: "m.tag", content: { tags: { [`u.${count}`]: {} } } }],
    };
    await t.deliver(one.client, v2({ join: Object.fromEntries(rooms.map((room) => [room, parts])) }));
  };
  /** The names of the rooms in each extension. */
  const told = (answer: Answer): string[] =>
    ROOM_EXTENSIONS.map((name) => {
      const section = answer.extensions[name] as { rooms: Json } | undefined;
      return section
        ? Object.keys(section.rooms)
            .map((room) => names.get(room) ?? room)
            .sort()
            .join("")
        : "absent";
    });
  return { ...one, phone, rooms: { a, b, c, d, e }, ask, tell, told };
}

describe.each(DIALECTS)("scopes (%s)", (dialect) => {
  it("M45: lists and rooms by name, absent all, empty none", async () => {
    const { phone, ask, tell, told, rooms } = await fiveRooms(dialect);
    const cases: readonly [scope: Scope, expected: string][] = [
      [{}, "abcde"],
      [{ lists: [], rooms: [] }, ""],
      [{ lists: ["near"], rooms: [] }, "ab"],
      [{ lists: ["far"], rooms: [] }, "abcd"],
      [{ lists: [], rooms: [rooms.e] }, "e"],
      [{ lists: [] }, "ce"],
      [{ rooms: [] }, "abcd"],
      [{ lists: ["near"], rooms: [rooms.c] }, "abc"],
      // Lists and rooms that are not asked for or do not exist are ignored.
      [{ lists: ["nowhere"], rooms: [rooms.d, "!unknown:test"] }, ""],
    ];
    for (const [scope, expected] of cases) {
      await tell();
      expect(told(await phone.sync(ask(scope))), JSON.stringify(scope)).toEqual([expected, expected, expected]);
    }
    // The same for changes.
    for (const [scope, expected] of cases) {
      const { pos } = await phone.sync(ask(scope));
      await tell();
      expect(told(await phone.sync(ask(scope), { pos })), JSON.stringify(scope)).toEqual([expected, expected, expected]);
    }
  });

  it("M45: what is in no extension's scope ends no wait", async () => {
    const { phone, ask, tell } = await fiveRooms(dialect);
    const quiet = ask({ lists: [], rooms: [] });
    const { pos } = await phone.sync(quiet);
    await tell();
    expect(newsOf(await phone.sync(quiet, { pos, timeout: SHORT }))).toEqual({});
  });

  it("M45 TestExtensionLateEnable: an extension that is enabled later sends all first, and missed changes when it is enabled again", async () => {
    const { phone, ask, tell, told } = await fiveRooms(dialect);
    await tell();
    const without = await phone.sync(ask(null));
    expect(told(without)).toEqual(["absent", "absent", "absent"]);
    const late = await phone.sync(ask({}), { pos: without.pos });
    expect(told(late)).toEqual(["abcde", "abcde", "abcde"]);
    const off = await phone.sync(ask(null), { pos: late.pos });
    await tell();
    const still = await phone.sync(ask(null), { pos: off.pos });
    expect(newsOf(still)).toEqual({});
    const again = await phone.sync(ask({}), { pos: still.pos });
    expect(told(again)).toEqual(["abcde", "abcde", "abcde"]);
    expect(again.extensions["typing"].rooms).toMatchObject(
      Object.fromEntries(Object.keys(again.extensions["typing"].rooms).map((room) => [room, { content: { user_ids: ["@u2:test"] } }])),
    );
    expect(newsOf(await phone.sync(ask({}), { pos: again.pos }))).toEqual({});
  });

  it("M45: enabled: false, and no enabled at all, is not enabled", async () => {
    const { phone, client } = await fiveRooms(dialect);
    await t.deliver(client, v2({ to_device: [toDevice(BOB)], account_data: [{ type: "x", content: {} }] }));
    const all = (part: Json) => Object.fromEntries(["to_device", "e2ee", ...ROOM_EXTENSIONS].map((name) => [name, part]));
    for (const part of [{}, { enabled: false }]) expect((await phone.sync({ ext: all(part) })).extensions).toEqual({});
  });

  it("M45: a growing scope sends what was there already, a shrinking one removes nothing", async () => {
    const { phone, ask, tell, told } = await fiveRooms(dialect);
    await tell();
    const near = await phone.sync(ask({ lists: ["near"], rooms: [] }));
    const far = await phone.sync(ask({ lists: ["far"], rooms: [] }), { pos: near.pos });
    expect(told(far)).toEqual(["cd", "cd", "cd"]);
    const small = await phone.sync(ask({ lists: ["near"], rooms: [] }), { pos: far.pos });
    await tell();
    const then = await phone.sync(ask({ lists: ["near"], rooms: [] }), { pos: small.pos });
    expect(told(then)).toEqual(["ab", "ab", "ab"]);
    expect(told(await phone.sync(ask({}), { pos: then.pos }))).toEqual(["cde", "cde", "cde"]);
  });
});

it("M45: * is all in the unstable dialect, and a name that nothing has in v4", async () => {
  const both = await Promise.all(
    DIALECTS.map(async (dialect) => {
      const { phone, ask, tell, told } = await fiveRooms(dialect);
      await tell();
      return told(await phone.sync(ask({ lists: ["*"], rooms: ["*"] })))[0];
    }),
  );
  expect(both).toEqual(["abcde", ""]);
});

it("M52: v4 takes each extension by its stable name and by the one from before, and answers with the same", async () => {
  const one: Scene = scene(t);
  const phone = new SlidingClient(one.client, "v4");
  await phone.sync();
  await t.deliver(
    one.client,
    v2({ to_device: [toDevice(BOB)], device_lists: { changed: [BOB] }, one_time_keys: { a: 1 }, account_data: [{ type: "x", content: {} }] }),
  );
  const names = {
    to_device: "org.matrix.msc4538.to_device",
    e2ee: "org.matrix.msc4543.e2ee",
    account_data: "org.matrix.msc4548.account_data",
    receipts: "org.matrix.msc4551.receipts",
    typing: "org.matrix.msc4508.typing",
  };
  const enabled = (keys: readonly string[]): Json => Object.fromEntries(keys.map((key) => [key, { enabled: true }]));
  const stable = await phone.post({ extensions: enabled(Object.keys(names)) });
  const early = await phone.post({ extensions: enabled(Object.values(names)) });
  expect(Object.keys(stable.body["extensions"]).sort()).toEqual(Object.keys(names).sort());
  expect(Object.keys(early.body["extensions"]).sort()).toEqual(Object.values(names).sort());
  for (const [name, before] of Object.entries(names)) expect(early.body["extensions"][before]).toEqual(stable.body["extensions"][name]);
});

it("M52: names that no MSC has for v4 are ignored, as all unknown ones are", async () => {
  const phone = new SlidingClient(scene(t).client, "v4");
  const names = ["org.matrix.msc3959.account_data", "org.matrix.msc3960.receipts", "org.matrix.msc3885.to_device"];
  const { status, body } = await phone.post({ extensions: Object.fromEntries(names.map((name) => [name, { enabled: true }])) });
  expect([status, body["extensions"]]).toEqual([200, {}]);
});

it("M53: /versions has a flag for each extension: the unstable one of its MSC, and the stable one where that is accepted", async () => {
  t.hs.on("GET", "/_matrix/client/versions", { body: { versions: ["v1.19"], unstable_features: {} } });
  const { body } = await scene(t).client.fetch("GET", "/_matrix/client/versions");
  const flags = ["msc4508", "msc4508.stable", "msc4538", "msc4543", "msc4548", "msc4551", "simplified_msc3575"];
  expect(body["unstable_features"]).toEqual(Object.fromEntries(flags.map((name) => [`org.matrix.${name}`, true])));
});
