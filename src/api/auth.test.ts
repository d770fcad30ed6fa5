import { beforeEach, expect, test } from "vitest";
import { MemoryTokens } from "../../test/support/api.ts";
import { silentLogger } from "../base/logger.ts";
import { SecretBox } from "../base/secret-box.ts";
import type { UserId } from "../wire/ids.ts";
import { Authenticator, requiredToken } from "./auth.ts";

let now = 1_000_000;
let calls: string[] = [];
let answer: () => Promise<{ userId: UserId; deviceId: string | null }>;
let tokens: MemoryTokens;
let auth: Authenticator;
const stop = new AbortController();
const box = new SecretBox("test");

const alice = { userId: "@alice:test" as UserId, deviceId: "PHONE" };
const failing =
  (kind: string, more: object = {}) =>
  () =>
    Promise.reject(Object.assign(new Error(`why: ${kind}`), { kind, ...more }));

beforeEach(() => {
  now = 1_000_000;
  calls = [];
  answer = async () => alice;
  tokens = new MemoryTokens(() => now);
  const client = {
    whoami: (token: string) => {
      calls.push(token);
      return answer();
    },
  };
  auth = new Authenticator({ tokens, client, secretBox: box, logger: silentLogger(), now: () => now, signal: stop.signal });
});

test("D2: a new token is verified, then known for 60 seconds, then verified again", async () => {
  expect(await auth.verify("t1")).toMatchObject({ ...alice, token: "t1", tokenHash: box.hashToken("t1") });
  now += 60_000;
  await auth.verify("t1");
  expect(calls).toHaveLength(1);
  now += 1;
  await auth.verify("t1");
  expect(calls).toHaveLength(2);
  await auth.verify("t1");
  expect(calls).toHaveLength(2);
});

test("D2: no row before the token is verified", async () => {
  answer = failing("unknown_token", { softLogout: true });
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 401, errcode: "M_UNKNOWN_TOKEN", extra: { soft_logout: true } });
  expect(tokens.rows.size).toBe(0);
});

test("B57: a refused token is not asked about again at once, and can come back", async () => {
  answer = failing("unknown_token");
  for (let i = 0; i < 5; i++) await expect(auth.verify("t1")).rejects.toMatchObject({ errcode: "M_UNKNOWN_TOKEN" });
  expect(calls).toHaveLength(1);
  answer = async () => alice;
  now += 30_001;
  expect(await auth.verify("t1")).toMatchObject(alice);
});

test("B21: a token that is revoked stops working within 60 seconds and is marked dead", async () => {
  await auth.verify("t1");
  answer = failing("unknown_token", { softLogout: true });
  now += 60_001;
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 401, extra: { soft_logout: true } });
  expect((await tokens.find(box.hashToken("t1")))?.dead?.softLogout).toBe(true);
});

test("a token that the poller found dead is refused without asking", async () => {
  await auth.verify("t1");
  await tokens.dead(box.hashToken("t1"), true);
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 401, extra: { soft_logout: true } });
  expect(calls).toHaveLength(1);
});

test("D4: upstream trouble is the client's only at first contact", async () => {
  answer = failing("unreachable");
  await expect(auth.verify("t1")).rejects.toMatchObject({
    status: 502,
    errcode: "M_UNKNOWN",
    message: "The access token cannot be verified: why: unreachable",
  });
  answer = failing("rate_limited", { retryAfterMs: 1500 });
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 429, extra: { retry_after_ms: 1500 }, headers: { "retry-after": "2" } });
  answer = async () => alice;
  await auth.verify("t1");
  calls = [];
  answer = failing("unreachable");
  now += 60_001;
  expect(await auth.verify("t1")).toMatchObject(alice);
  expect(await auth.verify("t1")).toMatchObject(alice);
  expect(calls, "not asked for every request while it is down").toHaveLength(1);
  now += 5_001;
  answer = failing("unknown_token");
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 401 });
});

test("a homeserver that knows the token and refuses it is quoted", async () => {
  await auth.verify("t1");
  now += 60_001;
  answer = failing("rejected", { status: 401, errcode: "M_CONSENT_NOT_GIVEN", softLogout: true });
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 401, errcode: "M_CONSENT_NOT_GIVEN", extra: { soft_logout: true } });
});

const LOCKED = { errcode: "M_USER_LOCKED", error: "User account has been locked", soft_logout: true };
const asLocked = { status: 401, errcode: "M_USER_LOCKED", message: LOCKED.error, extra: { soft_logout: true } };

test("T17: of a locked account every token is refused with the homeserver's words, without asking, for 30 s", async () => {
  await auth.verify("t1");
  await auth.verify("t2");
  now += 60_001;
  answer = failing("locked", { status: 401, errcode: LOCKED.errcode, body: JSON.stringify(LOCKED) });
  await expect(auth.verify("t1")).rejects.toMatchObject(asLocked);
  calls = [];
  for (const token of ["t1", "t2"]) await expect(auth.verify(token)).rejects.toMatchObject(asLocked);
  now += 30_001;
  answer = failing("unreachable");
  for (let i = 0; i < 3; i++) await expect(auth.verify("t2")).rejects.toMatchObject(asLocked);
  expect(calls).toEqual(["t2"]);
  now += 5001;
  answer = async () => alice;
  expect(await auth.verify("t2")).toMatchObject(alice);
  expect((await tokens.find(box.hashToken("t1")))?.locked).toBeNull();
});

test("T17: a suspended account syncs on, even if its homeserver does not say who it is", async () => {
  await auth.verify("t1");
  now += 60_001;
  answer = failing("forbidden", { status: 403, errcode: "M_USER_SUSPENDED" });
  expect(await auth.verify("t1")).toMatchObject(alice);
});

test("T16: a passed request proves its token as of when it was sent, and revives none that was refused since", async () => {
  const who = await auth.verify("t1");
  now += 55_000;
  await auth.noteProof("t1", who, 20_000);
  now += 41_000;
  await auth.verify("t1");
  expect(calls).toHaveLength(2);
  await auth.noteRefusal(who.tokenHash, false);
  now += 10_000;
  await auth.noteProof("t1", who, 20_000);
  await expect(auth.verify("t1")).rejects.toMatchObject({ status: 401 });
  await auth.noteProof("t1", who, 5000);
  expect((await tokens.find(who.tokenHash))?.dead).toBeNull();
});

test("D21: an address that sends many unknown tokens gets 429; other addresses do not, and neither do known tokens", async () => {
  await auth.verify("known", "192.0.2.7");
  answer = failing("unknown_token");
  for (let i = 0; i < 30; i++) await expect(auth.verify(`wrong ${i}`, "192.0.2.7")).rejects.toMatchObject({ status: 401 });
  const before = calls.length;
  await expect(auth.verify("another", "192.0.2.7")).rejects.toMatchObject({ status: 429, extra: { retry_after_ms: 2000 } });
  expect(calls).toHaveLength(before);
  await expect(auth.verify("another", "198.51.100.1")).rejects.toMatchObject({ status: 401 });
  await expect(auth.verify("one more", null)).rejects.toMatchObject({ status: 401 });
  expect(await auth.verify("known", "192.0.2.7")).toMatchObject(alice);
  now += 2001;
  answer = async () => alice;
  expect(await auth.verify("good", "192.0.2.7")).toMatchObject(alice);
  expect(await auth.verify("good too", "192.0.2.7")).toMatchObject(alice);
});

test("D21: many unknown tokens at the same time count as well", async () => {
  answer = failing("unknown_token");
  const all = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => auth.verify(`wrong ${i}`, "192.0.2.7")));
  const statuses = all.map((one) => (one.status === "rejected" ? (one.reason as { status: number }).status : 200));
  expect([statuses.filter((status) => status === 401).length, statuses.filter((status) => status === 429).length]).toEqual([30, 70]);
  expect(calls).toHaveLength(30);
});

test("requests with one token share one verification", async () => {
  const all = await Promise.all(Array.from({ length: 10 }, () => auth.verify("t1")));
  expect(calls).toHaveLength(1);
  expect(new Set(all.map(({ device }) => device)).size).toBe(1);
});

test("B10: without a device id in whoami each token is a device of its own, and stays it", async () => {
  answer = async () => ({ ...alice, deviceId: null });
  const first = await auth.verify("t1");
  const other = await auth.verify("t2");
  now += 60_001;
  expect((await auth.verify("t1")).device).toBe(first.device);
  expect(other.device).not.toBe(first.device);
  expect(other.account).toBe(first.account);
  expect(first.deviceId).toMatch(/^syncv3_[0-9a-f]{16}$/);
  expect(first.deviceId).not.toBe(other.deviceId);
});

test("a token that now stands for another device is registered again", async () => {
  const before = await auth.verify("t1");
  answer = async () => ({ ...alice, deviceId: "TABLET" });
  now += 60_001;
  const after = await auth.verify("t1");
  expect(after.deviceId).toBe("TABLET");
  expect(after.device).not.toBe(before.device);
});

test("identify asks once, writes nothing, and does not fail", async () => {
  expect(await auth.identify("t1")).toMatchObject(alice);
  expect(await auth.identify("t1")).toMatchObject(alice);
  expect(calls).toHaveLength(1);
  expect(tokens.rows.size).toBe(0);
  answer = failing("unreachable");
  expect(await auth.identify("t2")).toBeNull();
});

test("R2: the token comes in the Authorization header only", () => {
  const none = new URLSearchParams();
  expect(requiredToken("Bearer abc", none)).toBe("abc");
  expect(requiredToken("bearer abc", none)).toBe("abc");
  for (const header of [undefined, "", "Bearer", "Bearer ", "Basic abc", "abc"])
    expect(() => requiredToken(header, none), header).toThrow("Missing access token");
  expect(() => requiredToken(undefined, new URLSearchParams("access_token=abc"))).toThrow(/access_token parameter is not supported/);
});
