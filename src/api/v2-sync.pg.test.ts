import { request as httpRequest, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { startFakeHomeserver, toDevice, v2, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { SecretBox } from "../base/secret-box.ts";
import { forgetting, passQueue, tokenStore } from "../server/api-store.ts";
import { silentLogger } from "../base/logger.ts";
import { Hub, type Wake } from "../feed/hub.ts";
import { deleteDevice } from "../store/devices.ts";
import { registerToken, sealToken } from "../store/tokens.ts";
import { hashOfMessage, readToDevice } from "../store/to-device.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../wire/ids.ts";

let db: TestDatabase;
let hs: FakeHomeserver;
let api: TestApi;
let feed: Hub;
let token: string;
let ref: { account: AccountNo; device: DeviceNo };
let stopped: [AccountNo, DeviceNo | null][];
const box = new SecretBox("test");
const alice = "@alice:test" as UserId;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  stopped = [];
  hs = await startFakeHomeserver();
  token = hs.login(alice, "PHONE");
  feed = new Hub();
  api = await startApi(hs.url, {
    feed,
    secretBox: box,
    tokens: tokenStore({ sql: db.sql, box, feed: new Hub(), logger: silentLogger() }),
    queue: passQueue(db.sql),
    forgetting: forgetting(db.sql, new Hub(), (account, device) => void stopped.push([account, device])),
  });
  ref = await registerToken(db.sql, { ...sealToken(box, token), userId: alice, deviceId: "PHONE" });
  await db.sql`update devices set since = 's0' where device = ${ref.device}`;
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

/** What the poller does with a message. */
async function queue(...messages: object[]): Promise<void> {
  for (const message of messages) {
    const body = JSON.stringify(message);
    await db.sql`
      with d as (update devices set seq = seq + 1 where device = ${ref.device} returning seq)
      insert into to_device (device, seq, before_pos, body, hash) select ${ref.device}, seq, 0, ${body}, ${hashOfMessage(body)} from d`;
  }
  feed.publish({ type: "news", account: ref.account, device: ref.device, kinds: new Set(["to_device"]) });
}

type V2 = { next_batch: string; to_device?: { events: unknown[] } };
const messages = Array.from({ length: 9 }, (_, n) => toDevice("@bob:test", { n }));
const sync = async (query = "", as = token): Promise<V2> => (await (await api.fetch(`/_matrix/client/v3/sync${query}`, { token: as })).json()) as V2;
const stored = async () => (await readToDevice(db.sql, ref.device, 0, 100)).map(({ body }) => JSON.parse(body) as unknown);

test("D1: a device that was never polled gets its answer untouched", async () => {
  const other = hs.login("@bob:test", "LAPTOP");
  const text = `{ "next_batch" : "x1" , "to_device":{"events":[{"a":1.0}]} }`;
  hs.queueSync(other, text);
  expect(await (await api.fetch("/_matrix/client/v3/sync", { token: other })).text()).toBe(text);
  expect(await db.sql`select from accounts where user_id = '@bob:test'`, "no row is made for it").toHaveLength(0);
  await db.sql`update devices set since = null`;
  hs.queueSync(token, text);
  expect(await (await api.fetch("/_matrix/client/v3/sync", { token })).text()).toBe(text);
  expect(await stored()).toEqual([]);
});

test("D1: messages of a passed answer are in our queue before the client has it, and wake waiting requests", async () => {
  const wakes: Wake[] = [];
  feed.subscribe(ref.account, (wake) => wakes.push(wake));
  hs.queueSync(token, v2({ to_device: [messages[0] ?? {}], join: { "!a:test": {} } }));
  const answer = await sync();
  expect(answer.to_device?.events).toEqual([messages[0]]);
  expect(await stored()).toEqual([messages[0]]);
  expect(wakes).toEqual([{ type: "news", ...ref, kinds: new Set(["to_device"]) }]);
  expect(await db.sql`select times from to_device_passed`).toEqual([{ times: 1 }]);
});

test("D1: what our poller took is in the answer, at once, and all other bytes are the homeserver's", async () => {
  await queue(messages[0] ?? {});
  const filler = JSON.stringify("ü".repeat(2000));
  hs.queueSync(token, `{"next_batch":"s1", "own":[1.0, ${filler}] ,"to_device" :{"events":[${JSON.stringify(messages[1])}]}}`);
  const answer = await api.fetch("/_matrix/client/v3/sync?timeout=30000&filter=%7B%7D", { token });
  expect(await answer.text()).toBe(
    `{"next_batch":"s1", "own":[1.0, ${filler}] ,"to_device" :{"events":[${JSON.stringify(messages[0])},${JSON.stringify(messages[1])}]}}`,
  );
  const asked = hs.seen({ path: /\/sync$/ })[0];
  expect([asked?.query.get("filter"), asked?.token]).toEqual(["{}", token]);
  expect(Number(asked?.query.get("timeout"))).toBeLessThanOrEqual(50);
});

test.each(["", "&use_state_after=true", "&org.matrix.msc4222.use_state_after=true"])(
  "D1 T21: a client gets the state in the form that it asks for, whatever our poller asks for (%j)",
  async (asked) => {
    await queue(messages[0] ?? {});
    const room = `{"timeline":{"events":[]},"${asked === "" ? "state" : "state_after"}":{"events":[1.0]}}`;
    hs.queueSync(token, `{"next_batch":"s1","rooms":{"join":{"!a:test":${room}}}}`);
    const text = await (await api.fetch(`/_matrix/client/v3/sync?since=s0${asked}`, { token })).text();
    expect(text).toContain(room);
    const query = [...(hs.seen({ path: /\/sync$/ })[0]?.query ?? [])].filter(([name]) => name.endsWith("use_state_after"));
    expect(query).toEqual([...new URLSearchParams(asked)]);
  },
);

test("D1: the client's since acknowledges: the message is deleted, unless another session has not received it", async () => {
  await queue(messages[0] ?? {});
  hs.queueSync(token, v2(), v2(), v2());
  const first = await sync();
  expect(first.to_device?.events).toEqual([messages[0]]);
  const [session] = await db.sql<
    { session: number }[]
  >`insert into sessions (account, device, kind, takes_part) values (${ref.account}, ${ref.device}, 'v3', true) returning session`;
  const second = await sync(`?since=${first.next_batch}`);
  expect(second.to_device?.events ?? []).toEqual([]);
  expect(await stored(), "the other session has not got it").toEqual([messages[0]]);
  await db.sql`update sessions set acked = 1 where session = ${session?.session ?? 0}`;
  await sync(`?since=${second.next_batch}`);
  expect(await stored()).toEqual([]);
});

test("D1: the older path of v2 is the same", async () => {
  await queue(messages[0] ?? {});
  hs.on("GET", "/_matrix/client/r0/sync", { body: { next_batch: "s1" } });
  const answer = await api.fetch("/_matrix/client/r0/sync", { token });
  expect(((await answer.json()) as V2).to_device?.events).toEqual([messages[0]]);
});

test("D1: a message that both read at once is sent once", async () => {
  await queue(messages[0] ?? {});
  hs.queueSync(token, v2({ to_device: [messages[0] ?? {}, messages[1] ?? {}] }));
  expect((await sync()).to_device?.events).toEqual([messages[0], messages[1]]);
  expect(await stored()).toEqual([messages[0], messages[1]]);
});

test("D1: a waiting client is woken by what the poller takes away from it", async () => {
  const waiting = sync("?since=s0&timeout=30000");
  await hs.waitForPoll(token);
  await queue(messages[0] ?? {});
  expect(await waiting).toEqual({ next_batch: "s0", to_device: { events: [messages[0]] } });
  const timeouts = hs.seen({ path: /\/sync$/ }).map(({ query }) => Number(query.get("timeout")));
  expect(timeouts).toEqual([30_000, expect.closeTo(25, -2)]);
});

test("D1: an answer that cannot be distinguished from its retry is sent again, but only after the wait", async () => {
  await queue(messages[0] ?? {});
  expect((await sync("?since=s0&timeout=30000")).to_device?.events).toEqual([messages[0]]);
  const again = sync("?since=s0&timeout=30000");
  await hs.waitForPoll(token);
  hs.queueSync(token, v2());
  const answer = await again;
  expect(answer).toEqual({ next_batch: "s1", to_device: { events: [messages[0]] } });
  hs.queueSync(token, v2());
  expect((await sync("?since=s1")).to_device).toBeUndefined();
});

test("D1: another token of a polled device, in the query as v2 allows, is the same device, and is stored for the poller", async () => {
  const refreshed = hs.login(alice, "PHONE", "refreshed");
  await queue(messages[0] ?? {});
  hs.queueSync(refreshed, v2());
  const answer = await api.fetch(`/_matrix/client/v3/sync?access_token=${refreshed}`);
  expect(((await answer.json()) as V2).to_device?.events).toEqual([messages[0]]);
  expect(await db.sql`select device from tokens where token_hash = ${box.hashToken(refreshed)}`).toEqual([{ device: ref.device }]);
});

test("a refusal passes as it is, acknowledges nothing, and marks the token dead", async () => {
  await queue(messages[0] ?? {});
  hs.queueSync(token, v2());
  const { next_batch } = await sync();
  hs.revoke(token, true);
  const answer = await api.fetch(`/_matrix/client/v3/sync?since=${next_batch}`, { token });
  expect([answer.status, await answer.json()]).toEqual([401, { errcode: "M_UNKNOWN_TOKEN", error: "Unknown access token", soft_logout: true }]);
  expect(await stored()).toEqual([messages[0]]);
  expect(await db.sql`select soft_logout from tokens where dead_at is not null`).toEqual([{ soft_logout: true }]);
});

test.each(['{"next_batch":"s1","to_device":[]}', '{"next_batch":', "not json"])("an answer that cannot be read passes as it is: %s", async (text) => {
  await queue(messages[0] ?? {});
  hs.fail({ path: /\/sync$/ }, { body: text });
  expect(await (await api.fetch("/_matrix/client/v3/sync", { token })).text()).toBe(text);
  expect(await stored()).toEqual([messages[0]]);
});

test("a response that breaks off is an error, and nothing of it is stored", async () => {
  hs.queueSync(token, v2({ to_device: [messages[0] ?? {}] }));
  hs.fail({ path: /\/sync$/ }, { body: '{"next_batch":"s1","to_device":{"events":[{}]}}', cut: 20 });
  expect((await api.fetch("/_matrix/client/v3/sync", { token })).status).toBe(502);
  expect((await sync()).to_device?.events, "the client asks again").toEqual([messages[0]]);
});

test("if the client disconnects, the request to the homeserver ends", async () => {
  const controller = new AbortController();
  const waiting = fetch(`${api.url}/_matrix/client/v3/sync?since=s0&timeout=30000`, {
    headers: { authorization: `Bearer ${token}` },
    signal: controller.signal,
  });
  const poll = await hs.waitForPoll(token);
  controller.abort();
  await expect(waiting).rejects.toThrow(/abort/i);
  if (!poll.signal.aborted) await once(poll.signal, "abort");
  expect(poll.signal.aborted).toBe(true);
});

test("the answer is packed only for who takes it", async () => {
  hs.queueSync(token, v2({ to_device: [toDevice("@bob:test", { text: "x".repeat(5000) })] }));
  const { hostname, port } = new URL(api.url);
  for (const [encoding, packed] of [
    ["gzip", "gzip"],
    ["identity", undefined],
    ["gzip;q=0, br", undefined],
  ] as const) {
    const headers = { authorization: `Bearer ${token}`, "accept-encoding": encoding };
    const [answer] = (await once(httpRequest({ hostname, port, path: "/_matrix/client/v3/sync", headers }).end(), "response")) as [IncomingMessage];
    let size = 0;
    for await (const chunk of answer) size += (chunk as Buffer).length;
    expect(answer.headers["content-encoding"], encoding).toBe(packed);
    expect(Number(answer.headers["content-length"])).toBe(size);
    expect(size < 5000).toBe(packed === "gzip");
  }
});

// ---- T19: the same under every spelling, and beside the homeserver's own sliding sync

test.each([
  ...["api/v1", "r0", "v1", "v3", "unstable", "v2_alpha"].map((version) => `/_matrix/client/${version}/sync`),
  "/_matrix/client/v3/sync/",
  "/_matrix/client/v3/s%79nc",
  "/_matrix/%63lient/unstable/%73%79%6E%63",
])("T19: %s of a polled device is read as D1 says, and asked for as it was spelled", async (path) => {
  await queue(messages[0] ?? {});
  // The homeserver that the test has knows every spelling.
  hs.on("GET", path, () => ({ body: v2({ to_device: [messages[1] ?? {}], next_batch: "s1" }) }));
  const answer = (await (await api.fetch(path, { token })).json()) as V2;
  expect(answer.to_device?.events).toEqual([messages[0], messages[1]]);
  expect(await stored()).toEqual([messages[0], messages[1]]);
  expect(hs.requests.map((request) => request.path)).toContain(path);
});

test("T19: HEAD of a polled device asks the homeserver nothing; that of another passes", async () => {
  const head = (as: string) => api.fetch("/_matrix/client/v3/sync", { method: "HEAD", token: as });
  expect((await head(token)).status).toBe(405);
  expect(hs.seen({ method: "HEAD" })).toEqual([]);
  await head(hs.login("@bob:test", "LAPTOP"));
  expect(hs.seen({ method: "HEAD" })).toHaveLength(1);
});

test.each([
  "/_matrix/client/unstable/org.matrix.msc3575/sync",
  "/_matrix/client/unstable/org.matrix.msc4525/sync",
  "/_matrix/client/v5/sync",
  "/_matrix/client/v4/sync/",
])("T19: the homeserver's own sliding sync at %s is refused to a polled device, with words, and passes for others", async (path) => {
  hs.on("POST", path, { body: { pos: "1" } });
  const ask = (as: string) => api.fetch(path, { method: "POST", token: as, body: "{}" });
  const refused = await ask(token);
  expect([refused.status, await refused.json()]).toEqual([
    404,
    { errcode: "M_UNRECOGNIZED", error: expect.stringContaining("would take its to-device messages from each other") },
  ]);
  expect(hs.seen({ path })).toEqual([]);
  expect(await (await ask(hs.login("@bob:test", "LAPTOP"))).json()).toEqual({ pos: "1" });
});

// ---- D2: what ends a device ends our data of it

test("D2: a log-out that passes through deletes the device at once; with the last one the account", async () => {
  const tablet = await registerToken(db.sql, { ...sealToken(box, hs.login(alice, "TABLET", "t2")), userId: alice, deviceId: "TABLET" });
  await db.sql`insert into typing (account, room_id, users, ord) values (${ref.account}, '!a:test', '[]', 1)`;
  expect((await api.fetch("/_matrix/client/v3/logout", { method: "POST", token })).status).toBe(200);
  expect(await db.sql`select device from devices`).toEqual([{ device: tablet.device }]);
  expect(stopped).toEqual([[ref.account, ref.device]]);
  expect(await db.sql`select from typing`).toHaveLength(1);
  hs.on("POST", "/_matrix/client/r0/logout", { body: {} });
  await api.fetch("/_matrix/client/r0/logout", { method: "POST", token: "t2" });
  expect(await db.sql`select from accounts`).toHaveLength(0);
  expect(await db.sql`select from typing`).toHaveLength(0);
});

test("D2: a sync that is under way while its device logs out is passed, and the device is not registered again", async () => {
  const waiting = api.fetch("/_matrix/client/v3/sync?timeout=60000&since=s0", { token });
  await hs.waitForPoll(token);
  expect(await deleteDevice(db.sql, ref.device)).toMatchObject({ accountDeleted: true });
  const text = `{ "next_batch" : "s1" , "to_device":{"events":[{"a":1.0}]} }`;
  hs.queueSync(token, text);
  const answer = await waiting;
  expect([answer.status, await answer.text()]).toEqual([200, text]);
  expect(await db.sql`select from accounts`).toHaveLength(0);
});

test("D2: a log-out that the homeserver refuses deletes nothing", async () => {
  hs.on("POST", "/_matrix/client/v3/logout", { status: 500, body: {} });
  expect((await api.fetch("/_matrix/client/v3/logout", { method: "POST", token })).status).toBe(500);
  expect(await db.sql`select from devices`).toHaveLength(1);
});

test.each([
  ["POST", "/_matrix/client/v3/logout/all", undefined],
  ["POST", "/_matrix/client/v3/account/deactivate", '{"auth":{}}'],
  ["DELETE", "/_matrix/client/v3/devices/PHONE", '{"auth":{}}'],
  ["POST", "/_matrix/client/unstable/delete_devices", '{"devices":["PHONE","OTHER"]}'],
] as const)("D2: %s %s deletes ours", async (method, path, body) => {
  hs.on(method, path, { body: {} });
  const answer = await api.fetch(path, { method, token, ...(body === undefined ? {} : { body }) });
  expect(answer.status).toBe(200);
  expect(hs.seen({ path })[0]?.body).toBe(body ?? "");
  expect(await db.sql`select from devices`).toHaveLength(0);
});

test("D2: other devices than the named ones stay", async () => {
  hs.on("POST", "/_matrix/client/v3/delete_devices", { body: {} });
  await api.fetch("/_matrix/client/v3/delete_devices", { method: "POST", token, body: '{"devices":["OTHER"]}' });
  expect(await db.sql`select from devices`).toHaveLength(1);
});

test("all rows of a forgotten room are deleted, and those of no other room", async () => {
  for (const room of ["!a:test", "!b:test"] as RoomId[]) {
    await db.sql`insert into rooms (account, room_id) values (${ref.account}, ${room})`;
    await db.sql`insert into timeline (account, ord, room_id, event_id) values (${ref.account}, ${room.charCodeAt(1)}, ${room}, '$e')`;
  }
  hs.on("POST", "/_matrix/client/v3/rooms/:room/forget", { body: {} });
  await api.fetch(`/_matrix/client/v3/rooms/${encodeURIComponent("!a:test")}/forget`, { method: "POST", token });
  expect(await db.sql`select room_id from rooms`).toEqual([{ room_id: "!b:test" }]);
  expect(await db.sql`select room_id from timeline`).toEqual([{ room_id: "!b:test" }]);
});
