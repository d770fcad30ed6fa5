import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Json, toDevice } from "../support/events.ts";
import { anyOperation, type Operation, RandomWorld } from "../support/random-world.ts";
import { type V3Client, v3Server } from "../support/v3.ts";
import { View } from "../support/view.ts";

const t = v3Server();

/** All streams: together they must contain what v2 sends. */
const EVERYTHING = {
  to_device: { limit: 1000 },
  room_list: { p: { limit: 100 } },
  room: { room_id: "room_list", timeline_limit: 100, state: [["*", "*"]] },
  typing: { room_id: "room_list" },
  receipts: { room_id: "room_list" },
  account_data: { rooms: "*" },
  presence: {},
  invites: {},
  e2ee: {},
};

/** Responses; after those with `look` the v3 client asks. */
const responses = fc.array(fc.record({ operations: fc.array(anyOperation(5), { minLength: 1, maxLength: 12 }), look: fc.boolean() }), {
  minLength: 1,
  maxLength: 12,
});

/** All that is to be the same in two views. Receipts of rooms that the user has left do not count, nor do other users' private ones. */
function summary(view: View): Json {
  const joined = [...view.rooms].filter(([, { membership }]) => membership === "join");
  const rooms = joined.map(([id, room]) => {
    const { stateIds, ids, counts } = room;
    return [id, { state: Object.fromEntries(stateIds), timeline: ids, counts, typing: view.typing.get(id) ?? [] }] as const;
  });
  const counting = [...view.receipts].filter(([key]) => {
    const [room = "", user, kind] = key.split(" ");
    return view.rooms.get(room)?.membership === "join" && (kind !== "m.read.private" || user === view.me);
  });
  const { accountData, pending, presence, toDevice: messages, devices, keys, fallbacks } = view;
  const maps = { accountData, pending, presence, devices, receipts: new Map(counting) };
  const plain = Object.entries(maps).map(([name, map]) => [name, Object.fromEntries<unknown>(map)]);
  return { rooms: Object.fromEntries(rooms), ...Object.fromEntries(plain), messages, keys, fallbacks };
}

let runs = 0;
type Responses = readonly { readonly operations: readonly Operation[]; readonly look: boolean }[];

/** Applies a new user's world to a v2 view, and through the server to a v3 view, and compares them whenever the v3 client asks. */
async function compare(all: Responses, deliver: (client: V3Client, response: Json) => Promise<void>, limit = 1000): Promise<void> {
  const me = `@u${++runs}:test`;
  const world = new RandomWorld(me, 3);
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", ({ params, query }) => ({
    body: { chunk: world.members(params["room"] ?? "", query.get("at")) },
  }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", { body: { chunk: [], start: "p" } });
  const first = world.respond([]);
  const client = t.login(me, "PHONE", first);
  const [old, union] = [new View(me), new View(me)];
  old.applyV2(first);
  let answer = await client.sync({ ...EVERYTHING, to_device: { limit } });
  union.applyV3(answer);
  /** How many messages had been sent when an event arrived. */
  const keysOf = new Map<string, number>();
  for (const [index, { operations, look }] of all.entries()) {
    const response = world.respond(operations);
    old.applyV2(response);
    for (const id of old.seen) if (!keysOf.has(id)) keysOf.set(id, old.toDevice.length);
    await deliver(client, response);
    if (!look && index < all.length - 1) continue;
    do {
      const before = new Set(union.seen);
      answer = await client.sync({}, { since: answer.next });
      union.applyV3(answer);
      for (const id of union.seen)
        if (!before.has(id)) expect(union.toDevice.length, "keys before what they open").toBeGreaterThanOrEqual(keysOf.get(id) ?? 0);
    } while (union.toDevice.length < old.toDevice.length);
    expect(summary(union)).toEqual(summary(old));
    for (const id of union.seen) expect(old.seen).toContain(id);
    for (const { devices } of [old, union]) devices.clear();
    expect(Object.keys(await client.sync({}, { since: answer.next })), "and that was all").toEqual(["next"]);
  }
}

it("I11: the union of all streams contains exactly what a v2 client has seen", async () => {
  await fc.assert(
    fc.asyncProperty(responses, (all) => compare(all, (client, response) => t.deliver(client, response))),
    { numRuns: 15 },
  );
}, 120_000);

it("D19 I4: answers that a to-device limit splits are complete together, and no message is later than the events it came with", async () => {
  const split = (all: Responses, limit: number) => compare(all, (client, response) => t.deliver(client, response), limit);
  await fc.assert(fc.asyncProperty(responses, fc.integer({ min: 1, max: 3 }), split), { numRuns: 15 });
}, 120_000);

it("I11 I9: the same while a client waits for each response", async () => {
  const live = async (all: Responses) => {
    const [me, end] = [`@u${++runs}:test`, toDevice("@bob:test", { n: "end" })];
    const world = new RandomWorld(me, 3);
    t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", ({ params, query }) => ({
      body: { chunk: world.members(params["room"] ?? "", query.get("at")) },
    }));
    const client = t.login(me, "PHONE", world.respond([]));
    const [old, union] = [new View(me), new View(me)];
    let answer = await client.sync(EVERYTHING);
    union.applyV3(answer);
    const sent = [...all.map(({ operations }) => world.respond(operations)), { ...world.respond([]), to_device: { events: [end] } }];
    for (const response of sent) old.applyV2(response);
    const fed = t.deliver(client, ...sent);
    while (!union.toDevice.includes(JSON.stringify(end))) {
      answer = await client.sync({}, { since: answer.next, timeout: 10_000 });
      expect(Object.keys(answer).length, "a wait ends with news").toBeGreaterThan(1);
      union.applyV3(answer);
    }
    await fed;
    // A room whose members were fetched meanwhile starts by itself (D24).
    for (let more = true; more;) {
      answer = await client.sync({}, { since: answer.next, timeout: isDeepStrictEqual(summary(union), summary(old)) ? 0 : 3000 });
      union.applyV3(answer);
      more = Object.keys(answer).length > 1;
    }
    expect(summary(union)).toEqual(summary(old));
  };
  await fc.assert(fc.asyncProperty(responses, live), { numRuns: 15 });
}, 120_000);

it("I8: a v2 response that says again what the one before it said changes nothing", async () => {
  const twice = async (client: V3Client, response: Json) => {
    // Messages have no ids, and a device list that is sent as changed has changed, so those are not repeated.
    const { to_device: _messages, device_lists: _lists, ...again } = response;
    await t.deliver(client, response, again);
  };
  await fc.assert(
    fc.asyncProperty(responses, (all) => compare(all, twice)),
    { numRuns: 15 },
  );
}, 120_000);

it("I6 D22: restarts between any two responses are invisible", async () => {
  const restarting = async (client: V3Client, response: Json) => {
    await t.deliver(client, response);
    await t.restart();
    await t.hs.waitForPoll(client.token);
  };
  await fc.assert(
    fc.asyncProperty(responses, (all) => compare(all.slice(0, 5), restarting)),
    { numRuns: 6 },
  );
}, 120_000);
