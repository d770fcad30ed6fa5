import { afterEach, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import type { RoutePlugin } from "../http/route.ts";
import { SIMPLIFIED_SYNC } from "../wire/versions.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { PassQueue } from "./ports.ts";

const VERSIONS = "/_matrix/client/versions";
const SYNC = `/_matrix/client/unstable/${SIMPLIFIED_SYNC}/sync`;

let hs: FakeHomeserver;
let api: TestApi;
let now: number;
let native: Set<string>;

const face: RoutePlugin = (app, context) => {
  app.post(SYNC, async (request, reply) => {
    if (await context.passInstead(request, reply)) return reply;
    const { device } = await context.authenticate(request);
    return { ours: await context.readJsonBody(request, device) };
  });
};

beforeEach(async () => {
  now = Date.now();
  native = new Set();
  hs = await startFakeHomeserver();
  hs.on("GET", VERSIONS, ({ token = "" }) => ({ body: { versions: [], unstable_features: { [SIMPLIFIED_SYNC]: native.has(token) } } }));
  hs.on("POST", SYNC, ({ body, query }) => ({ body: { native: body, pos: query.get("pos") } }));
  api = await startApi(hs.url, { preferNative: true, routes: [face], now: () => now });
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

const ask = async (token: string, query = "") => (await api.fetch(SYNC + query, { method: "POST", token, body: '{"a":1}' })).json();
const asked = () => hs.seen({ path: VERSIONS }).length;

test("M56: the homeserver's own is served to the users for whom it has it, with query and body as they were sent", async () => {
  const [alice, bob] = [hs.login("@alice:test"), hs.login("@bob:test")];
  native.add(alice);
  expect(await ask(alice, "?pos=x%2Fy")).toEqual({ native: '{"a":1}', pos: "x/y" });
  expect(await ask(bob)).toEqual({ ours: { a: 1 } });
  expect(hs.seen({ path: SYNC })).toMatchObject([{ token: alice }]);
});

test("M56: what it says is good for a minute, and asked once for several requests", async () => {
  const alice = hs.login("@alice:test");
  native.add(alice);
  await Promise.all([ask(alice), ask(alice)]);
  expect(asked()).toBe(1);
  native.clear();
  now += 59_999;
  expect(await ask(alice)).toHaveProperty("native");
  now += 1;
  expect(await ask(alice)).toHaveProperty("ours");
  expect(asked()).toBe(2);
});

test("M56: while it does not say, it is as it was, and it is not asked at once again", async () => {
  const [alice, bob] = [hs.login("@alice:test"), hs.login("@bob:test")];
  native.add(alice).add(bob);
  await ask(alice);
  now += 60_000;
  hs.fail({ path: VERSIONS }, { status: 503, body: "busy" }, 2);
  expect(await ask(alice)).toHaveProperty("native");
  expect(await ask(bob)).toHaveProperty("ours");
  expect(await ask(bob)).toHaveProperty("ours");
  expect(asked()).toBe(3);
  now += 5_000;
  expect(await ask(bob)).toHaveProperty("native");
  expect(asked()).toBe(4);
});

test("M56: a token in the query, or none at all", async () => {
  const alice = hs.login("@alice:test");
  native.add(alice).add("");
  for (const query of [`?access_token=${alice}`, ""]) {
    expect(await (await api.fetch(SYNC + query, { method: "POST", body: "{}" })).json()).toHaveProperty("native");
  }
});

test("M56: the client gets the homeserver's refusal of the native request", async () => {
  const alice = hs.login("@alice:test");
  native.add(alice);
  hs.on("POST", SYNC, { status: 400, body: { errcode: "M_UNKNOWN_POS" } });
  expect(await ask(alice)).toEqual({ errcode: "M_UNKNOWN_POS" });
});

test("T19: a device that is polled here stays here: two readers would take its to-device messages from each other", async () => {
  const alice = hs.login("@alice:test", "PHONE");
  native.add(alice);
  const queue = { polledDevice: async () => ({ account: 1 as AccountNo, device: 1 as DeviceNo }) } as unknown as PassQueue;
  const other = await startApi(hs.url, { preferNative: true, routes: [face], queue });
  expect(await (await other.fetch(SYNC, { method: "POST", token: alice, body: '{"a":1}' })).json()).toEqual({ ours: { a: 1 } });
  await other.stop();
});

test("M56: without -prefer-native the homeserver is not asked", async () => {
  await api.stop();
  api = await startApi(hs.url, { routes: [face] });
  const alice = hs.login("@alice:test");
  native.add(alice);
  expect(await ask(alice)).toEqual({ ours: { a: 1 } });
  expect(asked()).toBe(0);
});
