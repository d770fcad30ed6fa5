import { afterEach, beforeEach, expect, test } from "vitest";
import { type FakeHomeserver, startFakeHomeserver, v2 } from "./fake-homeserver.ts";

let hs: FakeHomeserver;
let token: string;

beforeEach(async () => {
  hs = await startFakeHomeserver();
  token = hs.login("@alice:test", "PHONE");
});
afterEach(() => hs.stop());

async function sync(query: string, as = token): Promise<{ status: number; body: { next_batch?: string; errcode?: string } }> {
  const response = await fetch(`${hs.url}/_matrix/client/v3/sync?${query}`, { headers: { authorization: `Bearer ${as}` } });
  return { status: response.status, body: (await response.json()) as { next_batch?: string } };
}

test("a device's log: in order by since, the same again for the same since, then empty ones", async () => {
  hs.queueSync(token, v2(), v2({ next_batch: "second" }));
  const batches: (string | undefined)[] = [];
  for (const query of ["", "since=s1", "since=s1", "", "since=second", "since=other", "since=other"])
    batches.push((await sync(query)).body.next_batch);
  expect(batches).toEqual(["s1", "second", "second", "s1", "second", "other", "other"]);
  hs.queueSync(token, v2());
  expect((await sync("since=other")).body.next_batch).toBe("s3");
  expect((await sync("since=other")).body.next_batch).toBe("s3");
});

test("tokens of one device share its log, other devices have their own", async () => {
  const refreshed = hs.login("@alice:test", "PHONE");
  const laptop = hs.login("@alice:test", "LAPTOP");
  hs.queueSync(token, v2());
  expect((await sync("", refreshed)).body.next_batch).toBe("s1");
  expect((await sync("", laptop)).body.next_batch).toBe("s0");
});

test("a long poll waits until something is queued; waitForPoll resolves when it waits", async () => {
  const answer = sync("timeout=30000");
  await hs.waitForPoll(token);
  hs.queueSync(token, v2());
  expect((await answer).body.next_batch).toBe("s1");
  expect(hs.polls(token)).toHaveLength(1);
});

test("held, even timeout=0 waits", async () => {
  hs.holdSync(token);
  const answer = sync("timeout=0");
  await hs.waitForPoll(token);
  hs.holdSync(token, false);
  expect((await answer).body.next_batch).toBe("s0");
});

test("revoking ends waiting polls and everything after", async () => {
  const answer = sync("timeout=30000");
  await hs.waitForPoll(token);
  hs.revoke(token);
  expect(await answer).toMatchObject({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } });
  expect((await sync("")).status).toBe(401);
});

test("faults are for matching requests, as often as said", async () => {
  hs.fail({ path: "/sync", token }, { status: 502, body: "<html>" }, 2);
  await expect(sync("")).rejects.toThrow(SyntaxError);
  await expect(sync("")).rejects.toThrow(SyntaxError);
  expect((await sync("")).status).toBe(200);
  hs.fail({ path: "/sync" }, { body: '{"next_batch":"s1"}', cut: 5 });
  await expect(sync("")).rejects.toThrow(TypeError);
});

test("a delay alone keeps the answer", async () => {
  hs.fail({ path: "/sync" }, { delayMs: 1 });
  expect(await sync("")).toEqual({ status: 200, body: { next_batch: "s0" } });
});
