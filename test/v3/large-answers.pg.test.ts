import { afterEach, expect, it } from "vitest";

import { ev, newRoom, toDevice, v2 } from "../support/events.ts";
import type { FakeRequest, Json } from "../support/fake-homeserver.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
afterEach(() => t.stop());

const ME = "@alice:test";
const ROOMS = Array.from({ length: 45 }, (_, n) => `!room${n}:test`);
const MOST = 100_000;
/** Characters in each of three rooms: together more than what is read of a response. */
const TEXT = "x".repeat(40_000);

type Filter = { readonly room: { readonly timeline: { readonly limit: number; readonly not_types?: string[] } } };
const filterOf = (request: FakeRequest) => JSON.parse(request.query.get("filter") ?? "{}") as Filter;
const isBare = (request: FakeRequest) => filterOf(request).room.timeline.not_types !== undefined;

/** A homeserver whose responses with rooms to that `since` are too large; `short`: also those with one event per room. */
function growLarge(since: string | null, short: boolean): void {
  const large = { body: v2({ next_batch: "large", join: { [ROOMS[0] ?? ""]: { timeline: [ev.message(ME, "x".repeat(MOST))] } } }) };
  const isLarge = (request: FakeRequest) =>
    request.query.get("since") === since && !isBare(request) && (short || filterOf(request).room.timeline.limit > 1);
  t.hs.fail({ path: /\/sync$/, where: isLarge }, large, 1000);
}

/** Each room was requested individually. */
function serveRooms(): void {
  const state = (room: string) => [...newRoom(ME), ev.name(ME, `name of ${room}`, { event_id: `$name-${room}` })];
  t.hs.on("GET", "/_matrix/client/v3/joined_rooms", () => ({ body: { joined_rooms: ROOMS } }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/state", ({ params }) => ({ body: state(params["room"] ?? "") }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", ({ params }) => ({
    body: { chunk: [ev.message(ME, TEXT, { event_id: `$message-${params["room"]}` })], start: "s", end: "older" },
  }));
}

async function start(first: Json): Promise<V3Client> {
  t = await startV3({ workers: 1, maxSyncBytes: MOST, supervision: { rereadMs: 50 } });
  return t.login(ME, "PHONE", first);
}

const names = (answer: Json) => ((answer["room_list"] as { rooms: { name: string }[] }).rooms ?? []).map(({ name }) => name).toSorted();

it("N4: a first answer that is too large: all rooms are read one by one, the message to the device and the invite come at once", async () => {
  const invite = { "!invite:test": [ev.member(ME, "invite", {}, { sender: "@bob:test" })] };
  const alice = await start(
    v2({ next_batch: "s1", to_device: [toDevice("@bob:test", { n: 1 })], invite, account_data: [{ type: "a", content: {} }] }),
  );
  growLarge(null, true);
  serveRooms();
  const first = await alice.sync({ room_list: { p: { limit: 100 } }, to_device: {}, invites: {}, account_data: { global: true } });
  expect(first["initial_sync"]).toBeUndefined();
  expect(names(first)).toEqual(ROOMS.map((room) => `name of ${room}`).toSorted());
  expect(first["to_device"].events).toHaveLength(1);
  expect(JSON.stringify(first["invites"])).toContain("!invite:test");
  expect(JSON.stringify(first["account_data"])).toContain('"type":"a"');
  // Three /sync requests without since in total, none of them for a room.
  expect(t.hs.seen({ path: /\/sync$/, where: ({ query }) => query.get("since") === null })).toHaveLength(3);
  const [row] = await t.sql`select complete, joined_rooms, since from accounts`;
  expect(row).toEqual({ complete: true, joined_rooms: null, since: "s1" });
});

it("N4: one that is small enough with one event a room is taken as it is", async () => {
  const alice = await start(v2({ next_batch: "s1", join: { [ROOMS[0] ?? ""]: { timeline: newRoom(ME) } } }));
  growLarge(null, false);
  const first = await alice.sync({ room_list: {} });
  expect(first["room_list"].rooms).toHaveLength(1);
  expect(await t.sql`select from rereads`).toHaveLength(0);
});

it("N4: while rooms are read, the account says how many are left, and sliding sync shows those that are there", async () => {
  const alice = await start(v2({ next_batch: "s1" }));
  growLarge(null, true);
  serveRooms();
  // The homeserver answers for one room only, until it is released.
  let letGo = () => {};
  let first: string | undefined;
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/state", async ({ params }) => {
    first ??= params["room"];
    if (params["room"] !== first) await gate;
    return { body: newRoom(ME) };
  });
  const list = { lists: { all: { ranges: [[0, 99]], required_state: [], timeline_limit: 1 } } };
  const sliding = () => alice.fetch("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0", JSON.stringify(list));
  await sliding();
  const account = async () => (await alice.fetch("GET", "/_matrix/client/unstable/syncv3/account")).body as Json;
  await expect.poll(account).toMatchObject({ state: "first_sync", rooms_left: 44 });
  const { body } = await sliding();
  expect(body["lists"].all.count).toBe(ROOMS.length);
  expect(Object.keys(body["rooms"])).toEqual([first]);
  letGo();
  await expect.poll(account).toMatchObject({ state: "synced" });
  expect(Object.keys((await sliding()).body["rooms"])).toHaveLength(ROOMS.length);
});

it("N4: a later answer that is too large: since moves, each joined room has a gap and is read", async () => {
  const [one = "", two = ""] = ROOMS;
  const alice = await start(v2({ next_batch: "s1", join: { [one]: { timeline: newRoom(ME) }, [two]: { timeline: newRoom(ME) } } }));
  const first = await alice.sync({ room: { room_id: one, timeline_limit: 5 }, to_device: {} });
  serveRooms();
  t.hs.on("GET", "/_matrix/client/v3/joined_rooms", () => ({ body: { joined_rooms: [one, two] } }));
  growLarge("s1", true);
  t.hs.queueSync(alice.token, v2({ next_batch: "s2", to_device: [toDevice("@bob:test", { n: 2 })] }));
  t.hs.disconnect();
  await expect.poll(async () => (await t.sql`select since from accounts`)[0]).toEqual({ since: "s2" });
  const next = await alice.sync({}, { since: first.next, timeout: 20_000 });
  expect(next["to_device"].events).toHaveLength(1);
  await expect.poll(async () => (await t.sql`select from rereads`).length).toBe(0);
  const room = (next["room"] ?? (await alice.sync({}, { since: next.next, timeout: 20_000 }))["room"]).rooms[one];
  expect(room.timeline).toMatchObject({ limited: true });
  expect(room.timeline.events.map((event: Json) => event["event_id"])).toEqual([`$message-${one}`]);
});
