import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import type { AccountNo, DeviceNo, SessionNo } from "../wire/ids.ts";
import { writeTx } from "./db.ts";
import { passAnswer, startPass } from "./passed-answers.ts";
import { acknowledge, appendPassed, hashOfMessage, purgeToDevice, readToDevice, unacknowledged } from "./to-device.ts";

let db: TestDatabase;
let account: AccountNo;
let device: DeviceNo;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  const { sql } = db;
  await sql`delete from accounts`;
  const [a] = await sql<{ account: AccountNo }[]>`insert into accounts (user_id, position) values ('@a:test', 7) returning account`;
  account = a?.account ?? (0 as AccountNo);
  const [d] = await sql<{ device: DeviceNo }[]>`insert into devices (account, device_id, since) values (${account}, 'D', 's1') returning device`;
  device = d?.device ?? (0 as DeviceNo);
});

/** As the poller does. */
async function queue(...bodies: string[]): Promise<void> {
  for (const body of bodies) {
    await db.sql`
      with d as (update devices set seq = seq + 1 where device = ${device} returning seq)
      insert into to_device (device, seq, before_pos, body, hash) select ${device}, seq, 7, ${body}, ${hashOfMessage(body)} from d`;
  }
}

async function session(takesPart: boolean, acked = 0): Promise<SessionNo> {
  const [row] = await db.sql<{ session: SessionNo }[]>`
    insert into sessions (account, device, kind, takes_part, acked) values (${account}, ${device}, 'v3', ${takesPart}, ${acked}) returning session`;
  return row?.session ?? (0 as SessionNo);
}

const stored = async () => (await readToDevice(db.sql, device, 0, 1000)).map(({ body }) => body);
const append = (bodies: string[], acknowledged = 0) => writeTx(db.sql, (tx) => appendPassed(tx, device, bodies, acknowledged));
const passedHashes = () =>
  db.sql<{ hash: Buffer; times: number }[]>`select hash, times from to_device_passed where device = ${device} order by times`;

test("messages are read oldest first, after a seq, up to a limit", async () => {
  await queue('{"n":1}', '{"n":2}', '{"n":3}');
  expect(await readToDevice(db.sql, device, 1, 1)).toEqual([{ seq: 2, before_pos: 7, body: '{"n":2}' }]);
  expect(await readToDevice(db.sql, device, 3, 10)).toEqual([]);
  expect(await unacknowledged(db.sql, device, 2)).toEqual([{ seq: 3, hash: hashOfMessage('{"n":3}') }]);
});

test("D1: messages that the poller brought first are not queued again; equal messages are counted", async () => {
  await queue("A", "B");
  expect(await append(["A", "A", "C", "B"])).toEqual({ added: 2, lastSeq: 4 });
  expect(await stored()).toEqual(["A", "B", "A", "C"]);
  expect((await passedHashes()).map(({ times }) => times)).toEqual([1, 1]);
});

test("D1: a message equal to an acknowledged one is a new one", async () => {
  await queue("A");
  expect(await append(["A"], 1)).toEqual({ added: 1, lastSeq: 2 });
  expect(await stored()).toEqual(["A", "A"]);
});

test("D1: passed copies are counted, for the poller to drop", async () => {
  await append(["A", "A", "B"]);
  await append(["A", "A", "A"], 3);
  expect((await passedHashes()).map(({ hash, times }) => [hash.toString("hex"), times])).toEqual([
    [hashOfMessage("B").toString("hex"), 1],
    [hashOfMessage("A").toString("hex"), 5],
  ]);
});

test("D19: a passed message remembers the account's position", async () => {
  await append(["A"]);
  expect((await readToDevice(db.sql, device, 0, 1))[0]?.before_pos).toBe(7);
});

test("R9, S2: a message is deleted when one session has acknowledged it and every session that takes part has received it", async () => {
  await queue("A", "B", "C");
  expect(await purgeToDevice(db.sql, device), "no session: everything is kept").toBe(0);
  const one = await session(true);
  const two = await session(true);
  const idle = await session(false);
  await acknowledge(db.sql, one, 2);
  expect(await purgeToDevice(db.sql, device)).toBe(0);
  await acknowledge(db.sql, two, 1);
  await acknowledge(db.sql, two, 0);
  expect(await purgeToDevice(db.sql, device)).toBe(1);
  expect(await stored()).toEqual(["B", "C"]);
  await db.sql`update sessions set takes_part = false where session in ${db.sql([one, two, idle])}`;
  expect(await purgeToDevice(db.sql, device), "what any acknowledged").toBe(1);
  expect(await stored()).toEqual(["C"]);
});

test("D1: two first requests at once share one participant", async () => {
  await Promise.all(Array.from({ length: 8 }, () => startPass(db.sql, account, device, null)));
  expect(await db.sql`select kind, takes_part from sessions where device = ${device}`).toEqual([{ kind: "v2", takes_part: true }]);
});

/** For an existing device. */
async function started(...args: Parameters<typeof startPass>) {
  const start = await startPass(...args);
  if (!start) throw new Error("the device is gone");
  return start;
}

const pass = async (since: string | null, nextBatch: string, messages: string[], limit = 1000) => {
  const start = await started(db.sql, account, device, since);
  const passed = await writeTx(db.sql, (tx) => passAnswer(tx, { account, device, start, since, nextBatch, messages, limit }));
  if (!passed) throw new Error("the device is gone");
  return passed;
};

test("D1: the answer has the queue, the next since acknowledges it, and it is purged", async () => {
  await queue("A");
  expect(await pass("s0", "s1", ["B"])).toEqual({ bodies: ["A", "B"], sentUpTo: 2, added: 1 });
  expect(await pass("s0", "s1", ["B"]), "a retry is sent the same").toEqual({ bodies: ["A", "B"], sentUpTo: 2, added: 0 });
  expect(await pass("s1", "s2", ["C"])).toEqual({ bodies: ["C"], sentUpTo: 3, added: 1 });
  expect(await stored()).toEqual(["C"]);
});

test("D1: a message that another session has not received stays, and is not sent again to the one that has it", async () => {
  await session(true);
  await pass(null, "s1", ["A"]);
  expect((await pass("s1", "s2", [])).bodies).toEqual([]);
  expect(await stored()).toEqual(["A"]);
});

test("D1: a limit splits the queue, and nothing is lost", async () => {
  await queue("A", "B", "C");
  expect((await pass("s0", "s1", ["D"], 2)).bodies).toEqual(["A", "B"]);
  expect((await started(db.sql, account, device, "s1")).waiting).toBe(true);
  expect((await pass("s1", "s2", [], 2)).bodies).toEqual(["C", "D"]);
  expect((await started(db.sql, account, device, "s2")).waiting).toBe(false);
});

test("D1: an answer whose token equals the request's acknowledges nothing: it cannot be distinguished from its retry", async () => {
  await pass("s0", "s1", []);
  await queue("A");
  expect((await pass("s1", "s1", [])).bodies).toEqual(["A"]);
  expect((await pass("s1", "s2", [])).bodies).toEqual(["A"]);
  expect((await pass("s2", "s3", [])).bodies).toEqual([]);
});

test("D1: the same holds for a token from before the server was installed", async () => {
  await queue("A");
  expect((await pass("s1", "s1", [])).bodies).toEqual(["A"]);
  expect((await pass("s1", "s1", [])).bodies).toEqual(["A"]);
});

test("D1: a copy that the poller can no longer get is not expected", async () => {
  const { sql } = db;
  await pass("s0", "s1", ["A"]);
  await sql`update to_device_passed set passed_at = now() - interval '3 minutes'`;
  await pass("s0", "s1", ["A"]);
  expect(await passedHashes(), "the client has not acknowledged it").toHaveLength(1);
  await pass("s1", "s2", []);
  expect(await passedHashes()).toHaveLength(0);
});

test("D1: a token sent twice acknowledges only what the first answer contained", async () => {
  await pass("s0", "s1", ["A"]);
  await queue("B");
  expect((await pass("s0", "s1", ["A"])).bodies).toEqual(["A", "B"]);
  expect((await pass("s1", "s2", [])).bodies).toEqual(["B"]);
});

test("D1: a message that arrived during the upstream request is sent only if the answer has it too", async () => {
  const start = await started(db.sql, account, device, "s0");
  await queue("A", "B");
  const result = await writeTx(db.sql, (tx) => passAnswer(tx, { account, device, start, since: "s0", nextBatch: "s1", messages: ["A"], limit: 10 }));
  expect(result).toEqual({ bodies: ["A"], sentUpTo: 1, added: 0 });
  expect((await pass("s1", "s2", ["B"])).bodies).toEqual(["B"]);
  expect(await stored()).toEqual(["B"]);
});

test("tokens that were followed by a later one are not stored", async () => {
  for (let i = 0; i < 20; i++) await pass(`s${i}`, `s${i + 1}`, []);
  const [row] = await db.sql<{ n: number }[]>`select count(*) as n from passed_batches where device = ${device}`;
  expect(row?.n).toBeLessThanOrEqual(2);
});
