import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MemoryTokens, startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { UpstreamToken } from "./ports.ts";
import { ourTokens, withTokens } from "./pos-translation.ts";

test.each([
  ["GET", "/_matrix/client/v3/rooms/!a%3Ab/messages?dir=b&from=syncv3_a", ["syncv3_a"]],
  ["GET", "/_matrix/client/r0/rooms/!a:b/messages?from=syncv3_a&to=syncv3%5Fb&x=syncv3_c", ["syncv3_a", "syncv3_b"]],
  ["GET", "/_matrix/client/v1/rooms/!a:b/relations/$e?from=syncv3_a", ["syncv3_a"]],
  ["GET", "/_matrix/client/v1/rooms/!a:b/relations/$e/m.thread/m.room.message?to=syncv3_a", ["syncv3_a"]],
  ["GET", "/_matrix/client/v3/keys/changes?from=syncv3_a&to=s5_1", ["syncv3_a"]],
  ["GET", "/_matrix/client/v3/rooms/!a:b/messages?from=s4_1&to", []],
  ["GET", "/_matrix/client/v3/rooms/!a:b/messages", []],
  ["GET", "/_matrix/client/v3/rooms/!a:b/context/$e?from=syncv3_a", []],
  ["GET", "/_matrix/client/v3/keys/upload?from=syncv3_a", []],
  ["POST", "/_matrix/client/v3/keys/changes?from=syncv3_a", []],
  ["GET", "/_matrix/federation/v1/keys/changes?from=syncv3_a", []],
])("%s %s names %j", (method, target, tokens) => {
  expect(ourTokens(method, target)).toEqual(tokens);
});

test("M57: what is not replaced keeps its bytes", async () => {
  const target = "/x?dir=b&&from=syncv3_a&filter=%7b%22a%22+:1}&to=syncv3_b&from=syncv3_null&to=%73yncv3_b&access_token=syncv3_a";
  expect(await withTokens(target, (token) => (token === "syncv3_null" ? null : `${token}/&=`))).toBe(
    "/x?dir=b&&from=syncv3_a%2F%26%3D&filter=%7b%22a%22+:1}&to=syncv3_b%2F%26%3D&from=syncv3_null&to=syncv3_b%2F%26%3D&access_token=syncv3_a",
  );
});

const MESSAGES = "/_matrix/client/v3/rooms/!a%3Ab/messages";

let hs: FakeHomeserver;
let api: TestApi;
let alice: string;
const translate = vi.fn<UpstreamToken>();

beforeEach(async () => {
  translate.mockReset().mockReturnValue("s12_3/4");
  hs = await startFakeHomeserver();
  alice = hs.login("@alice:test", "PHONE");
  hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", ({ query }) => ({ body: Object.fromEntries(query) }));
  api = await startApi(hs.url, {
    tokens: new MemoryTokens(),
    upstreamToken: translate,
    findDevice: async (userId) => (userId === "@alice:test" ? { account: 7 as AccountNo, device: 8 as DeviceNo } : null),
  });
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

const ask = async (query: string, token = alice) => {
  const answer = await api.fetch(MESSAGES + query, { token });
  return { status: answer.status, ...((await answer.json()) as object) };
};
const UNKNOWN = { status: 400, errcode: "M_UNKNOWN_POS", error: "Unknown position" };

test("M57: a position of ours becomes the homeserver's token", async () => {
  expect(await ask("?dir=b&from=syncv3_pos&to=s1_2")).toEqual({ status: 200, dir: "b", from: "s12_3/4", to: "s1_2" });
  expect(translate.mock.calls).toEqual([["syncv3_pos", 7]]);
});

test("M57: what is not, stays", async () => {
  translate.mockReturnValue(null);
  expect(await ask("?from=syncv3_pos")).toEqual({ status: 200, from: "syncv3_pos" });
});

test("M57: an unknown one, and one of a device that we do not hold", async () => {
  expect(await ask("?from=syncv3_pos", hs.login("@bob:test"))).toEqual(UNKNOWN);
  translate.mockResolvedValue("unknown");
  expect(await ask("?from=syncv3_pos")).toEqual(UNKNOWN);
  expect(hs.seen({ path: "messages" })).toEqual([]);
});

test("M57: of a token that is not known the homeserver speaks", async () => {
  hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } });
  expect(await ask("?from=syncv3_pos", "nonsense")).toMatchObject({ status: 401, errcode: "M_UNKNOWN_TOKEN" });
  expect(translate).not.toHaveBeenCalled();
});

test("M57: requests with any other token pass without asking whose they are", async () => {
  await ask("?from=s3_1_2&to=t1");
  expect(hs.seen({ path: "whoami" })).toEqual([]);
  expect(hs.seen({ path: "messages" })).toHaveLength(1);
});
