import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import type { Position } from "../wire/ids.ts";
import { ConnectionWriter } from "./connection-writer.ts";
import { findConnectionState, readConnectionHeads, type StateRef, touchConnection } from "./connections.ts";

let db: TestDatabase;
let owner: TestAccount;
/** The writers of two processes. */
let writers: readonly [ConnectionWriter, ConnectionWriter];
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  owner = await TestAccount.create(db.sql);
  writers = [
    new ConnectionWriter(db.sql, { connectionsPerDevice: 5 }),
    new ConnectionWriter(db.sql, { connectionsPerDevice: 5, asyncCommits: true }),
  ];
});

const AT_ONCE = 300;
const POSITION = 1 as Position;
async function begin(connId: string, process: 0 | 1 = 0, body = "{}") {
  const begun = await writers[process].begin({
    account: owner.account,
    device: owner.device,
    connId,
    asks: { presence: false, threads: false },
    body,
    position: POSITION,
  });
  if (!begun) throw new Error("the device is gone");
  return begun;
}
const follow = (from: StateRef, body = "{}", process: 0 | 1 = 0) => writers[process].save({ from, base: null, body, position: POSITION });
const rows = () => db.sql<{ conn_id: string; session: number }[]>`select conn_id, session from sessions where kind = 'connection' order by conn_id`;
/** Whether a position with that state is answered. */
const isThere = async (at: StateRef) => (await readConnectionHeads(db.sql, [{ device: owner.device, at }]))[0] !== null;

test("M2: many requests begin a connection of one name together: one connection remains, and the last one begun is valid", async () => {
  const made = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => begin("main", (i % 2) as 0 | 1)));
  expect(await rows()).toHaveLength(1);
  expect(new Set(made.map(({ mark }) => mark)).size).toBe(AT_ONCE);
  const known = await Promise.all(made.map(isThere));
  expect(known.filter(Boolean)).toHaveLength(1);
  await begin("main");
  expect(await Promise.all(made.map(isThere))).not.toContain(true);
});

test("M4: above the bound the longest idle connections end, and the request that began another one learns how many", async () => {
  const before = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => begin(`c${i}`, (i % 2) as 0 | 1)));
  const last = await begin("last");
  const remaining = await rows();
  expect(remaining).toHaveLength(5);
  expect(remaining.map((row) => row.session)).toContain(last.session);
  // Of several that begin in one statement each learns how many connections were ended.
  expect([...before, last].reduce((sum, one) => sum + one.ended, 0)).toBeGreaterThanOrEqual(AT_ONCE + 1 - 5);
});

test("M94: those that never went on after their first answer end first, whatever they are called and however long the others are idle", async () => {
  const used = await Promise.all(["a", "b", "c"].map((name) => begin(name)));
  for (const one of used) await follow(one);
  await db.sql`update sessions set used_at = now() - interval '20 days'`;
  for (const name of ["x", "y", "z"]) await begin(name);
  expect((await rows()).map((row) => row.conn_id)).toEqual(["a", "b", "c", "y", "z"]);
  const went = await begin("w");
  await touchConnection(db.sql, went, POSITION);
  expect((await rows()).map((row) => row.conn_id)).toEqual(["a", "b", "c", "w", "z"]);
  await begin("v");
  expect((await rows()).map((row) => row.conn_id)).toEqual(["a", "b", "c", "v", "w"]);
  const last = await begin("u");
  await touchConnection(db.sql, last, POSITION);
  await db.sql`update sessions set used_at = now() - interval '21 days' where conn_id = 'b'`;
  await begin("t");
  expect(
    (await rows()).map((row) => row.conn_id),
    "then the longest idle",
  ).toEqual(["a", "c", "t", "u", "w"]);
});

test("M3: states of many connections are stored together, each under its own connection", async () => {
  const begun = await Promise.all(["a", "b", "c"].map((name) => begin(name, 0, `{"first":"${name}"}`)));
  const saved = await Promise.all(begun.map((one, i) => follow(one, `{"n":${i}}`)));
  for (const [i, state] of saved.entries()) {
    expect(state && (await findConnectionState(db.sql, owner.account, state))?.body).toBe(`{"n":${i}}`);
    // The state that the request came with remains for a retry.
    expect(await isThere(begun[i] as StateRef)).toBe(true);
  }
});

test("M3: states of one connection that are saved together have different numbers", async () => {
  const begun = await begin("main");
  const saved = await Promise.all(Array.from({ length: 10 }, (_, i) => follow(begun, `{"n":${i}}`, (i % 2) as 0 | 1)));
  expect(new Set(saved.map((one) => one?.state)).size).toBe(10);
  for (const [i, state] of saved.entries()) expect(state && (await findConnectionState(db.sql, owner.account, state))?.body).toBe(`{"n":${i}}`);
});

test("M2: no state is written after one that is deleted, nor after one that has the same number but was lost by the database", async () => {
  const begun = await begin("main");
  const other = await begin("other");
  const lost = { ...other, mark: (other.mark + 1) % 2 ** 31 };
  await begin("main");
  expect(await Promise.all([follow(begun), follow(lost), follow(other)])).toEqual([null, null, expect.objectContaining({ session: other.session })]);
  expect([await isThere(lost), await findConnectionState(db.sql, owner.account, lost)]).toEqual([false, null]);
});

test("a device that was deleted meanwhile fails only its own request", async () => {
  const gone = await TestAccount.create(db.sql, "@gone:test");
  await db.sql`delete from accounts where account = ${gone.account}`;
  const [good, none] = await Promise.all([
    begin("main"),
    writers[0].begin({
      account: gone.account,
      device: gone.device,
      connId: "main",
      asks: { presence: false, threads: false },
      body: "{}",
      position: POSITION,
    }),
  ]);
  expect([await isThere(good), none]).toEqual([true, null]);
});

test("a device that is deleted while its connection begins fails only its own request", async () => {
  const gone = await TestAccount.create(db.sql, "@gone:test");
  const begun = Promise.withResolvers<(StateRef | null)[]>();
  await db.sql.begin(async (tx) => {
    await tx`delete from accounts where account = ${gone.account}`;
    const both = Promise.all([
      begin("main"),
      writers[0].begin({
        account: gone.account,
        device: gone.device,
        connId: "main",
        asks: { presence: false, threads: false },
        body: "{}",
        position: POSITION,
      }),
    ]);
    begun.resolve(both);
    await expect.poll(() => db.sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).toHaveLength(1);
  });
  const [good, none] = await begun.promise;
  expect([good && (await isThere(good)), none]).toEqual([true, null]);
});

test("M3: states older than the acknowledged one are deleted, except for those that others are changes of", async () => {
  const first = await begin("main", 0, '{"whole":1}');
  const second = await writers[0].save({ from: first, base: first.state, body: '{"change":2}', position: POSITION });
  if (!second) throw new Error("it was not saved");
  const third = await writers[0].save({ from: second, base: first.state, body: '{"change":3}', position: POSITION });
  expect(third && (await findConnectionState(db.sql, owner.account, third))).toEqual({
    base: { state: first.state, body: '{"whole":1}' },
    body: '{"change":3}',
  });
  if (!third) throw new Error("it was not saved");
  const fourth = await writers[0].save({ from: third, base: null, body: '{"whole":4}', position: POSITION });
  if (!fourth) throw new Error("it was not saved");
  await follow(fourth);
  expect((await db.sql`select state from connection_states order by state`).map((row) => row["state"])).toEqual([fourth.state, fourth.state + 1]);
});
