import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FakeHomeserver, startFakeHomeserver, v2 } from "../../test/support/fake-homeserver.ts";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import { HomeserverClient } from "./client.ts";
import { retryAfter, type UpstreamError } from "./upstream-error.ts";

let hs: FakeHomeserver;
let client: HomeserverClient;
let token: string;
const never = new AbortController().signal;
const SYNC = { since: "s1", timeout: 0, filter: "{}" };

beforeEach(async () => {
  hs = await startFakeHomeserver();
  client = new HomeserverClient({ baseUrl: `${hs.url}/` });
  token = hs.login("@alice:test", "PHONE");
});

afterEach(async () => {
  await client.close();
  await hs.stop();
});

/** The UpstreamError that `promise` rejects with. */
async function failure(promise: Promise<unknown>): Promise<UpstreamError> {
  return promise.then(
    () => expect.unreachable("it should have been rejected"),
    (error: UpstreamError) => error,
  );
}

describe("whoami", () => {
  test("returns user and device, and null if the homeserver names no device", async () => {
    expect(await client.whoami(token, never)).toEqual({ userId: "@alice:test", deviceId: "PHONE" });
    expect(await client.whoami(hs.login("@bot:test", null), never)).toEqual({ userId: "@bot:test", deviceId: null });
  });

  test("a revoked token is unknown_token, with soft_logout as the homeserver says", async () => {
    hs.revoke(token, true);
    expect(await failure(client.whoami(token, never))).toMatchObject({ kind: "unknown_token", softLogout: true, status: 401 });
  });
});

describe("sync", () => {
  test("B49, B51: sends since URL-encoded, the filter, set_presence=offline", async () => {
    hs.queueSync(token, v2());
    await client.sync(token, { since: "s1&a=b c+d%20~/ü", timeout: 0, filter: '{"room":{}}' }, never);
    const query = hs.polls(token)[0]?.query;
    expect(query?.get("since")).toBe("s1&a=b c+d%20~/ü");
    expect(query?.get("filter")).toBe('{"room":{}}');
    expect(query?.get("set_presence")).toBe("offline");
    expect(hs.polls(token)[0]?.headers.authorization).toBe(`Bearer ${token}`);
  });

  test.each([
    [null, [null, null]],
    ["s1", ["true", "true"]],
  ])("T21: since %j asks for the state after the timelines: %j", async (since, expected) => {
    hs.queueSync(token, v2());
    await client.sync(token, { ...SYNC, since }, never);
    const query = hs.polls(token)[0]?.query;
    expect(["use_state_after", "org.matrix.msc4222.use_state_after"].map((name) => query?.get(name))).toEqual(expected);
  });

  test("returns the body byte for byte, unpacked", async () => {
    const text = `{"next_batch":"s1", "big": 1.0, "x":"${"é\\u0000".repeat(1000)}"}`;
    hs.queueSync(token, text);
    expect((await client.sync(token, { ...SYNC, since: null }, never)).text).toBe(text);
  });

  test.each(["M_INVALID_PARAM", "M_UNKNOWN", "M_UNKNOWN_POS"])("400 %s to a since is bad_since, without one it is not", async (errcode) => {
    hs.fail({ path: "/sync" }, { status: 400, body: { errcode } }, 2);
    expect((await failure(client.sync(token, SYNC, never))).kind).toBe("bad_since");
    expect((await failure(client.sync(token, { ...SYNC, since: null }, never))).kind).toBe("rejected");
  });

  test.each([
    [401, { errcode: "M_UNKNOWN_TOKEN" }, "unknown_token"],
    [401, { errcode: "M_MISSING_TOKEN" }, "unknown_token"],
    [401, { errcode: "M_USER_LOCKED", soft_logout: true }, "locked"],
    [403, { errcode: "M_USER_SUSPENDED" }, "forbidden"],
    [403, { errcode: "M_UNKNOWN_TOKEN" }, "unknown_token"],
    [403, { errcode: "M_FORBIDDEN" }, "forbidden"],
    [401, "<html>log in to the Wi-Fi</html>", "rejected"],
    [400, { errcode: "M_BAD_JSON" }, "rejected"],
    [404, "", "rejected"],
    [500, { errcode: "M_UNKNOWN" }, "rejected"],
    [502, "<html>Bad Gateway</html>", "rejected"],
    [429, "slow down", "rate_limited"],
    [200, "", "bad_answer"],
    [200, "[]", "bad_answer"],
    [200, "<html>hello</html>", "bad_answer"],
  ])("%i %j is %s", async (status, body, kind) => {
    hs.fail({ path: "/sync" }, { status, body });
    expect(await failure(client.sync(token, SYNC, never))).toMatchObject({ kind, status });
  });

  test("a 429 says how long to wait: body first, then header", async () => {
    hs.fail({ path: "/sync" }, { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1234 }, headers: { "retry-after": "9" } });
    expect((await failure(client.sync(token, SYNC, never))).retryAfterMs).toBe(1234);
    hs.fail({ path: "/sync" }, { status: 503, body: "<html>", headers: { "retry-after": "9" } });
    expect((await failure(client.sync(token, SYNC, never))).retryAfterMs).toBe(9000);
    expect(retryAfter({}, new Date(61_000).toUTCString(), 1000)).toBe(60_000);
    expect(retryAfter({ retry_after_ms: "soon" }, "tomorrow", 0)).toBeNull();
  });

  test("a body that breaks off is unreachable, plain and zipped", async () => {
    const zip = gzipSync(`{"a":"${Math.random()}"}`);
    hs.fail({ path: "/sync" }, { body: '{"next_batch":"s1","rooms":{}}', cut: 10 });
    expect((await failure(client.sync(token, SYNC, never))).kind).toBe("unreachable");
    hs.fail({ path: "/sync" }, { body: zip, cut: 10, headers: { "content-encoding": "gzip" } });
    expect((await failure(client.sync(token, SYNC, never))).kind).toBe("unreachable");
  });

  test("a body that is too large when unpacked is refused", async () => {
    const small = new HomeserverClient({ baseUrl: hs.url, maxResponseBytes: 10_000 });
    hs.fail({ path: "/sync" }, { body: `{"x":"${"x".repeat(1_000_000)}"}` });
    expect(await failure(small.sync(token, SYNC, never))).toMatchObject({
      kind: "too_large",
      message: expect.stringContaining("larger than 10000 bytes"),
    });
    hs.queueSync(token, v2({ next_batch: "n" }));
    expect((await small.sync(token, SYNC, never)).text).toContain('"n"');
    await small.close();
  });

  test("no answer in time; no server", async () => {
    const hasty = new HomeserverClient({ baseUrl: hs.url, timeouts: { syncGrace: 20 } });
    hs.holdSync(token);
    expect(await failure(hasty.sync(token, SYNC, never))).toMatchObject({ kind: "timed_out", message: expect.stringContaining("within 20 ms") });
    await hasty.close();
    await hs.stop();
    expect((await failure(client.sync(token, SYNC, never))).kind).toBe("unreachable");
    hs = await startFakeHomeserver();
  });

  test("D21: a limited number of first syncs run at a time; polls do not wait for them, and the next one begins when one ends", async () => {
    const careful = new HomeserverClient({ baseUrl: hs.url, firstSyncs: 2 });
    const tokens = ["A", "B", "C", "D"].map((device) => hs.login("@alice:test", device));
    for (const one of tokens) hs.holdSync(one);
    const first = { ...SYNC, since: null };
    const all = tokens.map((one) => careful.sync(one, first, never));
    await hs.waitForRequest({ path: /\/sync$/ }, 2);
    expect((await careful.sync(token, { ...SYNC, since: "s0" }, never)).text).toContain("next_batch");
    expect(hs.seen({ path: /\/sync$/, where: ({ query }) => query.get("since") === null })).toHaveLength(2);
    hs.queueSync(tokens[0] ?? "", v2());
    expect((await all[0])?.text).toContain("next_batch");
    await hs.waitForRequest({ path: /\/sync$/, token: tokens[2] ?? "" });
    for (const one of tokens.slice(1)) hs.queueSync(one, v2());
    await Promise.all(all);
    await careful.close();
  });

  test("a body that arrives byte by byte is ended after the time for one request", async () => {
    const hasty = new HomeserverClient({ baseUrl: hs.url, timeouts: { syncGrace: 100 } });
    hs.fail({ path: /\/sync$/ }, { body: v2({ to_device: [] }), dripMs: 30 });
    expect(await failure(hasty.sync(token, SYNC, never))).toMatchObject({ kind: "timed_out", message: expect.stringContaining("within 100 ms") });
    await hasty.close();
  });

  test("the caller's signal ends the request with its own reason, and closes the connection", async () => {
    const controller = new AbortController();
    const polling = client.sync(token, { ...SYNC, timeout: 30_000 }, controller.signal);
    const rejected = expect(polling).rejects.toThrow("enough");
    const poll = await hs.waitForPoll(token);
    controller.abort(new Error("enough"));
    await rejected;
    await new Promise<void>((resolve) => (poll.signal.aborted ? resolve() : poll.signal.addEventListener("abort", () => resolve())));
  });
});

test("ids are encoded in paths", async () => {
  hs.on("GET", "/_matrix/client/v3/rooms/:room/context/:event", (request) => ({ body: request.params }));
  hs.on("GET", "/_matrix/client/v3/rooms/:room/members", { body: { chunk: [] } });
  const answer = await client.context(token, "!a/b:test" as RoomId, "$x/?+" as EventId, { limit: 10 }, never);
  expect(JSON.parse(answer.text)).toEqual({ room: "!a/b:test", event: "$x/?+" });
  await client.members(token, "!a:test" as RoomId, "at&1", never);
  expect(hs.seen({ path: "/members" })[0]?.query.get("at")).toBe("at&1");
  await client.members(token, "!a:test" as RoomId, null, never);
  expect(hs.seen({ path: "/members" })[1]?.query.has("at")).toBe(false);
});

describe("requests before a large account's first sync", () => {
  const room = "!room:test" as RoomId;
  const path = "/_matrix/client/v3";

  test("rooms that the user is in: invalid room ids are left out, and an answer without a list is bad_answer", async () => {
    hs.on("GET", `${path}/joined_rooms`, { body: { joined_rooms: [room, 3, "#alias:test"] } });
    expect(await client.joinedRooms(token, never)).toEqual([room]);
    hs.on("GET", `${path}/joined_rooms`, { body: {} });
    expect(await failure(client.joinedRooms(token, never))).toMatchObject({ kind: "bad_answer" });
  });

  test("global account data, and null where there is none", async () => {
    hs.on("GET", `${path}/user/:user/account_data/:type`, ({ params }) =>
      params["type"] === "m.direct" ? { body: { user: params["user"] ?? "" } } : { status: 404, body: { errcode: "M_NOT_FOUND" } },
    );
    expect(await client.accountData(token, "@alice:test" as UserId, "m.direct", never)).toBe('{"user":"@alice:test"}');
    expect(await client.accountData(token, "@alice:test" as UserId, "m.other/x", never)).toBe(null);
    hs.on("GET", `${path}/user/:user/account_data/:type`, { status: 500, body: {} });
    expect((await failure(client.accountData(token, "@alice:test" as UserId, "m.direct", never))).status).toBe(500);
  });

  test("a room's state must be a list and not too large", async () => {
    hs.on("GET", `${path}/rooms/:room/state`, { body: [{ type: "m.room.create" }] });
    expect((await client.state(token, room, never, 100)).text).toBe('[{"type":"m.room.create"}]');
    expect(await failure(client.state(token, room, never, 10))).toMatchObject({
      kind: "too_large",
      message: expect.stringContaining("larger than 10 bytes"),
    });
    hs.on("GET", `${path}/rooms/:room/state`, { body: {} });
    expect(await failure(client.state(token, room, never, 100))).toMatchObject({
      kind: "bad_answer",
      message: expect.stringContaining("not a JSON list"),
    });
  });
});
