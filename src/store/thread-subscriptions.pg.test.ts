import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import type { RoomId } from "../wire/ids.ts";
import type { ThreadChange } from "../wire/thread-subscriptions.ts";
import { deleteAccount } from "./devices.ts";
import { writeTx } from "./db.ts";
import { forgetSince } from "./ingest/reset.ts";
import { readThreads, storeThreads, threadsPos, threadsRest } from "./thread-subscriptions.ts";

let db: TestDatabase;
let it: TestAccount;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  it = await TestAccount.create(db.sql);
  await db.sql`insert into leases (account, owner, epoch, expires_at) values (${it.account}, 'me', 3, now() + interval '1 minute')`;
});

const change = (root: number, what = "{}"): ThreadChange => ({ roomId: "!a:test" as RoomId, root: `$${root}`, subscribed: true, change: what });
const store = (changes: readonly ThreadChange[], over: Partial<Parameters<typeof storeThreads>[1]> = {}) =>
  storeThreads(db.sql, { account: it.account, epoch: 3, asked: null, pos: "p1", changes, rest: null, ...over });
const position = async () => (await db.sql<{ position: number }[]>`select position from accounts where account = ${it.account}`)[0]?.position;
const roots = async (limit = 10) => (await readThreads(db.sql, it.account, { after: 0, before: null }, limit)).rows.map((row) => row.root);

test("M83: what is known already takes no step; a poll from another position, or without the lease, stores nothing", async () => {
  expect(await store([change(1), change(2)])).toBe(2);
  expect([await position(), await roots(), await threadsPos(db.sql, it.account)]).toEqual([2, ["$2", "$1"], "p1"]);
  expect(await store([change(1), change(2)], { asked: "p1", pos: "p2" })).toBe(0);
  expect([await position(), await threadsPos(db.sql, it.account)]).toEqual([2, "p2"]);
  expect(await store([change(1, '{"automatic":true}')], { asked: "p2", pos: "p3", rest: "ts1" })).toBe(1);
  expect([await roots(), await threadsRest(db.sql, it.account)]).toEqual([["$1", "$2"], "ts1"]);
  expect([await store([change(3)], { asked: "p2" }), await store([change(3)], { asked: "p3", epoch: 2 })]).toEqual(["stale", "stale"]);
  expect(await roots()).toEqual(["$1", "$2"]);
});

test("M84: at most 20 000 of an account are stored, the newest; they end with it", async () => {
  await store(Array.from({ length: 20_050 }, (_, n) => change(n)));
  const rows = await db.sql<{ count: number; first: string }[]>`
    select count(*)::integer as count, min(ord)::text as first from thread_subscriptions where account = ${it.account}`;
  expect(rows).toEqual([{ count: 20_000, first: "51" }]);
  expect((await roots(3)).length).toBe(3);
  await deleteAccount(db.sql, it.account);
  expect(await db.sql`select from thread_subscriptions`).toHaveLength(0);
});

test("M83 D26: an account that is synced from scratch compares them with everything", async () => {
  await store([change(1)]);
  await writeTx(db.sql, (tx) => forgetSince(tx, it.account, it.device));
  expect([await threadsPos(db.sql, it.account), await roots()]).toEqual([null, ["$1"]]);
});
