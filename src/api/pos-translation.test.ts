import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MemoryTokens, startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { UpstreamToken } from "./ports.ts";
import { isOurs, ourTokens, withTokens } from "./pos-translation.ts";

test.each(["s3_AbC-9", "s3_0000000x"])("%s may be ours", (token) => {
  expect(isOurs(token)).toBe(true);
});

test.each(["", "s3_", "s3", "S3_abc", "s3_12_0_1", "s3_m5~1.6_0_1_-1", "s46_3_0", "t1-2_3", "as3_abc"])("%s is not", (token) => {
  expect(isOurs(token)).toBe(false);
});

test.each([
  ["GET", "/_matrix/client/v3/rooms/!a%3Ab/messages?dir=b&from=s3_a", ["s3_a"]],
  ["GET", "/_matrix/client/r0/rooms/!a:b/messages?from=s3_a&to=s3%5Fb&x=s3_c", ["s3_a", "s3_b"]],
  ["GET", "/_matrix/client/v1/rooms/!a:b/relations/$e?from=s3_a", ["s3_a"]],
  ["GET", "/_matrix/client/v1/rooms/!a:b/relations/$e/m.thread/m.room.message?to=s3_a", ["s3_a"]],
  ["GET", "/_matrix/client/v3/keys/changes?from=s3_a&to=s5_1", ["s3_a"]],
  ["GET", "/_matrix/client/v3/rooms/!a:b/messages?from=s4_1&to", []],
  ["GET", "/_matrix/client/v3/rooms/!a:b/messages", []],
  ["GET", "/_matrix/client/v3/rooms/!a:b/context/$e?from=s3_a", []],
  ["GET", "/_matrix/client/v3/keys/upload?from=s3_a", []],
  ["POST", "/_matrix/client/v3/keys/changes?from=s3_a", []],
  ["GET", "/_matrix/federation/v1/keys/changes?from=s3_a", []],
])("%s %s names %j", (method, target, tokens) => {
  expect(ourTokens(method, target)).toEqual(tokens);
});

test("what is not replaced keeps its bytes", async () => {
  const target = "/x?dir=b&&from=s3_a&filter=%7b%22a%22+:1}&to=s3_b&from=s3_null&to=%733_b&access_token=s3_a";
  expect(await withTokens(target, (token) => (token === "s3_null" ? null : `${token}/&=`))).toBe(
    "/x?dir=b&&from=s3_a%2F%26%3D&filter=%7b%22a%22+:1}&to=s3_b%2F%26%3D&from=s3_null&to=s3_b%2F%26%3D&access_token=s3_a",
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

test("a position of ours becomes the homeserver's token", async () => {
  expect(await ask("?dir=b&from=s3_pos&to=s1_2")).toEqual({ status: 200, dir: "b", from: "s12_3/4", to: "s1_2" });
  expect(translate.mock.calls).toEqual([["s3_pos", 7]]);
});

test("what is not, stays", async () => {
  translate.mockReturnValue(null);
  expect(await ask("?from=s3_pos")).toEqual({ status: 200, from: "s3_pos" });
});

test("an unknown one, and one of a device that we do not hold", async () => {
  expect(await ask("?from=s3_pos", hs.login("@bob:test"))).toEqual(UNKNOWN);
  translate.mockResolvedValue("unknown");
  expect(await ask("?from=s3_pos")).toEqual(UNKNOWN);
  expect(hs.seen({ path: "messages" })).toEqual([]);
});

test("of a token that is not known the homeserver speaks", async () => {
  hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } });
  expect(await ask("?from=s3_pos", "nonsense")).toMatchObject({ status: 401, errcode: "M_UNKNOWN_TOKEN" });
  expect(translate).not.toHaveBeenCalled();
});

test("nobody is asked about any other token", async () => {
  await ask("?from=s3_1_2&to=t1");
  expect(hs.seen({ path: "whoami" })).toEqual([]);
  expect(hs.seen({ path: "messages" })).toHaveLength(1);
});
