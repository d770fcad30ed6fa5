import { beforeEach, expect, test } from "vitest";
import { MemoryTokens } from "../../test/support/api.ts";
import { silentLogger } from "../base/logger.ts";
import { SecretBox } from "../base/secret-box.ts";
import type { UserId } from "../wire/ids.ts";
import { Authenticator } from "./auth.ts";
import { WaitingTokens } from "./waiting-tokens.ts";

/** ms */
const SECOND = 1000;
const box = new SecretBox("test");

/** This process's clock, and how far the store's is ahead of it. */
let now: number;
let ahead: number;
let asked: string[];
let dead: Set<string>;
let tokens: MemoryTokens;
let auth: Authenticator;
let waiting: WaitingTokens;

beforeEach(() => {
  [now, ahead, asked, dead] = [1_000_000, 0, [], new Set()];
  tokens = new MemoryTokens(() => now + ahead);
  const whoami = async (token: string) => {
    asked.push(token);
    if (dead.has(token)) throw Object.assign(new Error("unknown"), { kind: "unknown_token", status: 401 });
    return { userId: `@${token}:test` as UserId, deviceId: "PHONE" };
  };
  const common = { now: () => now, signal: new AbortController().signal };
  auth = new Authenticator({ tokens, client: { whoami }, secretBox: box, logger: silentLogger(), ...common });
  waiting = new WaitingTokens({ auth, ...common });
});

/** A request with that token begins to wait. */
const wait = async (token: string) => waiting.enter(await auth.verify(token), () => {});

/** The time passes, second by second. */
async function pass(seconds: number, each: (second: number) => unknown = () => {}): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    now += SECOND;
    // oxlint-disable-next-line no-await-in-loop -- one second after the other
    await each(second);
    // oxlint-disable-next-line no-await-in-loop -- as above
    await waiting.check();
  }
}

test("T16: 10 000 waits on 10 000 polled tokens ask the homeserver nothing", async () => {
  const names = Array.from({ length: 10_000 }, (_, index) => `user${index}`);
  const hashes = names.map((name) => box.hashToken(name));
  await Promise.all(names.map(wait));
  asked = [];
  // A poll of 30 s proves its token within 8 s: see ACCEPTED_MS and RENEW_MS.
  await pass(300, (second) => Promise.all(hashes.filter((_, index) => index % 38 === second % 38).map((hash) => tokens.proven(hash, 0))));
  expect(asked).toEqual([]);
});

test("T16: a token that is not polled is proven once in 60 s, with one question however many requests wait", async () => {
  await Promise.all([wait("alice"), wait("alice"), wait("alice")]);
  expect(asked).toHaveLength(1);
  await pass(59);
  expect(asked).toHaveLength(2);
  await pass(56);
  expect(asked).toHaveLength(2);
});

test("T16: nothing is asked where another request has proven the token, or where none waits any more", async () => {
  const leave = await wait("alice");
  await pass(40);
  await tokens.proven(box.hashToken("alice"), 0);
  await pass(40);
  expect(asked).toHaveLength(1);
  leave();
  await pass(100);
  expect(asked).toHaveLength(1);
});

test("T16: a revoked token is found within 60 s of its last proof, when a request comes late in that time too", async () => {
  await auth.verify("alice");
  dead.add("alice");
  await pass(50);
  await wait("alice");
  await pass(9);
  expect((await tokens.find(box.hashToken("alice")))?.dead).not.toBeNull();
});

test.each([-3_600_000, 0, 3_600_000])("T16: the store's clock counts, which is %d ms ahead of this process's", async (ms) => {
  ahead = ms;
  await wait("alice");
  await pass(57);
  expect(asked).toHaveLength(1);
  // This process's clock is set back.
  now -= 7_200_000;
  ahead += 7_200_000;
  await pass(4);
  await auth.verify("alice");
  expect(asked).toHaveLength(2);
});

test("T16: while the homeserver cannot say, requests go on waiting, and are asked about again after a minute", async () => {
  await wait("alice");
  await pass(57);
  const before = tokens.find.bind(tokens);
  tokens.find = () => Promise.reject(new Error("the database is away"));
  await pass(10);
  tokens.find = before;
  await pass(2);
  expect(asked).toHaveLength(2);
});
