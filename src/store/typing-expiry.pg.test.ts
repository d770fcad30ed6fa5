import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import type { AccountNo } from "../wire/ids.ts";
import { expireTyping } from "./typing-expiry.ts";

let db: TestDatabase;
let account: AccountNo;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  await db.sql`delete from typing`;
  const [row] = await db.sql<{ account: AccountNo }[]>`insert into accounts (user_id, position) values ('@a:test', 7) returning account`;
  account = row?.account as AccountNo;
  const told_at = new Date(Date.now() - 3_600_000);
  await db.sql`insert into typing ${db.sql([
    { account, room_id: "!a:test", users: '["@b:test"]', ord: 5, told_at },
    { account, room_id: "!b:test", users: '["@c:test"]', ord: 6, told_at },
    { account, room_id: "!c:test", users: "[]", ord: 3, told_at },
  ])}`;
});

const polled = (secondsAgo: number) => db.sql`
  insert into leases (account, owner, epoch, expires_at, polled_at) values (${account}, 'x', 1, now(), now() - ${secondsAgo}::int * interval '1 second')`;
const rows = () => db.sql`select room_id, users, ord from typing order by room_id`;

test("S1: after 2 minutes without success typing sets are emptied, in one new batch, once", async () => {
  await polled(121);
  expect(await expireTyping(db.sql, 120_000)).toEqual([
    { account, rooms: expect.toSatisfy((rooms: string[]) => rooms.toSorted().join() === "!a:test,!b:test") },
  ]);
  expect(await rows()).toEqual([
    { room_id: "!a:test", users: "[]", ord: 8 },
    { room_id: "!b:test", users: "[]", ord: 8 },
    { room_id: "!c:test", users: "[]", ord: 3 },
  ]);
  expect(await db.sql`select position from accounts`).toEqual([{ position: 8 }]);
  expect(await expireTyping(db.sql, 120_000)).toEqual([]);
  expect(await db.sql`select position from accounts`).toEqual([{ position: 8 }]);
});

test("S1: a success within 2 minutes keeps the typing sets", async () => {
  await polled(119);
  expect(await expireTyping(db.sql, 120_000)).toEqual([]);
  expect((await rows())[0]).toMatchObject({ users: '["@b:test"]', ord: 5 });
});

test("S1: a set that has just been received counts as a success, although the lease does not record it yet", async () => {
  await polled(121);
  await db.sql`update typing set told_at = now() where room_id = '!b:test'`;
  expect(await expireTyping(db.sql, 120_000)).toEqual([]);
});

test("typing also ends for an account that no process polls", async () => {
  expect(await expireTyping(db.sql, 120_000)).toHaveLength(1);
});

test("an account that is being written to is skipped until the next time", async () => {
  await db.sql.begin(async (tx) => {
    await tx`select 1 from accounts where account = ${account} for update`;
    expect(await expireTyping(db.sql, 120_000)).toEqual([]);
  });
  expect(await expireTyping(db.sql, 120_000)).toHaveLength(1);
});
