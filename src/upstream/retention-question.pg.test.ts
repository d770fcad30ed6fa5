import { afterAll, beforeAll, expect, it } from "vitest";
import { silentLogger } from "../base/logger.ts";
import { SecretBox } from "../base/secret-box.ts";
import { readRetention } from "../store/message-retention.ts";
import { registerToken, sealToken } from "../store/tokens.ts";
import type { AccountNo, UserId } from "../wire/ids.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { type FakeHomeserver, type FakeReply, startFakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { RETENTION_PATH } from "../../test/support/message-times.ts";
import { HomeserverClient } from "./client.ts";
import { RetentionQuestion } from "./retention-question.ts";

const box = new SecretBox("a secret of the test");
let db: TestDatabase;
let hs: FakeHomeserver;
let client: HomeserverClient;
let account: AccountNo;
beforeAll(async () => {
  [db, hs] = await Promise.all([freshDatabase(), startFakeHomeserver()]);
  client = new HomeserverClient({ baseUrl: hs.url });
  ({ account } = await registerToken(db.sql, { ...sealToken(box, "tok"), userId: "@me:test" as UserId, deviceId: "PHONE" }));
});
afterAll(async () => {
  await client.close();
  await Promise.all([hs.stop(), db.drop()]);
});

/** What is stored after a process that has just started has asked. */
async function after(reply: FakeReply, fallbackMs?: number) {
  hs.on("GET", RETENTION_PATH, reply);
  const assumedRetention = fallbackMs === undefined ? undefined : { fallbackMs };
  const question = new RetentionQuestion({ sql: db.sql, client, box, logger: silentLogger(), assumedRetention });
  await question.run([account], AbortSignal.timeout(20_000));
  return { question, retention: await readRetention(db.sql) };
}

it("T4: the policy is what was answered last; a homeserver that has trouble changes nothing, one that has none ends it", async () => {
  const policy: FakeReply = { body: { policies: { "*": { max_lifetime: 5 } }, limits: {} } };
  const none: FakeReply = { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "?" } };
  expect((await after(none)).retention).toBe(null);
  expect((await after(policy)).retention).toEqual({ fallback: 5 });
  expect((await after({ status: 500, body: {} })).retention).toEqual({ fallback: 5 });
  expect((await after({ status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } })).retention).toEqual({ fallback: 5 });
  expect((await after(none)).retention).toBe(null);
  expect((await after(none, 7)).retention).toEqual({ fallback: 7 });
  expect((await after(policy, 7)).retention).toEqual({ fallback: 5 });
});

it("T4: a process asks once an hour, with a token of an account that it polls", async () => {
  const before = hs.seen({ path: RETENTION_PATH }).length;
  const { question } = await after({ body: { policies: {}, limits: {} } });
  await question.run([account], AbortSignal.timeout(20_000));
  await question.run([], AbortSignal.timeout(20_000));
  const seen = hs.seen({ path: RETENTION_PATH }).slice(before);
  expect(seen.map(({ token }) => token)).toEqual(["tok"]);
});
