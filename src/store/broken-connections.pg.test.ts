/**
 * N8: if a connection breaks at any message from the server, during set-up or in a statement of any kind, the work under way fails with an
 * error that says so, and nothing else happens: no promise stays pending, none rejects unhandled, and the pool stays usable.
 */

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { type CuttingProxy, type Manner, MANNERS, startCuttingProxy } from "../../test/support/cutting-proxy.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { needOf } from "../base/database-needs.ts";
import { PostgresBus } from "../feed/postgres-bus.ts";
import { commitWith, connect, readTx, type Sql, writeTx } from "./db.ts";
import { migrate } from "./migrate.ts";
import { OwnerLock } from "./owner-lock.ts";

let db: TestDatabase;
let proxy: CuttingProxy;
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);

beforeAll(async () => {
  db = await freshDatabase();
  await db.sql`create table notes (run text, part integer)`;
  proxy = await startCuttingProxy(db.options);
  process.on("unhandledRejection", note).on("uncaughtException", note);
});
afterAll(async () => {
  process.off("unhandledRejection", note).off("uncaughtException", note);
  await proxy.stop();
  await db.drop();
});

/** Every third message is broken, another third each day, to save minutes; SYNCV3_TEST_BREAKS=all: every message. */
const STEP = process.env["SYNCV3_TEST_BREAKS"] === "all" ? 1 : 3;
const FIRST = Math.floor(Date.now() / 86_400_000) % STEP;

/** The two rows of a run: none of them is there afterwards, or both. */
const parts = async (run: string) => (await db.sql`select from notes where run = ${run}`).length;

const FAILS = "a transaction that fails";

/** Each kind of work that the store does, with its result checked. `run`: a unique name. */
const KINDS: Readonly<Record<string, (sql: Sql, run: string) => Promise<void>>> = {
  "a statement, prepared and then prepared already": async (sql) => {
    for (const n of [1, 2]) expect(await sql`select ${n}::integer as n, ${["a", null]}::text[] as a`).toEqual([{ n, a: ["a", null] }]);
  },
  "a simple statement": async (sql) => {
    expect(await sql.unsafe("select 1 as n; select 2 as n")).toEqual([[{ n: 1 }], [{ n: 2 }]]);
  },
  "statements in a pipeline": async (sql) => {
    const answers = await Promise.all([1, 2, 3, 4].map((n) => sql`select ${n}::bigint as n`));
    expect(answers.map(([row]) => row)).toEqual([1, 2, 3, 4].map((n) => ({ n })));
  },
  "a transaction": async (sql, run) => {
    await writeTx(sql, async (tx) => {
      await tx`insert into notes values (${run}, 1)`;
      await tx`insert into notes values (${run}, 2)`;
    });
  },
  "a transaction, its statements and its end in one go": async (sql, run) => {
    await writeTx(sql, async (tx) => {
      const [row] = await tx<{ n: number }[]>`select 1 as n`;
      await commitWith(
        tx,
        [1, 2].map((n) => tx`insert into notes values (${run}, ${n + (row?.n ?? 0)})`),
      );
    });
  },
  [FAILS]: async (sql, run) => {
    const failing = writeTx(sql, async (tx) => {
      await Promise.all([tx`insert into notes values (${run}, 1)`, tx`select 1 / 0`, tx`select 1`]);
    });
    const error: unknown = await failing.then(
      () => new Error("it did not fail"),
      (reason: unknown) => reason,
    );
    if ((error as { code?: string }).code !== "22012") throw error;
  },
  "a reading transaction": async (sql) => {
    const rows = await readTx(sql, async (tx) => [await tx`select 1 as n`, ...(await Promise.all([tx`select 2 as n`, tx`select 3 as n`]))]);
    expect(rows).toEqual([[{ n: 1 }], [{ n: 2 }], [{ n: 3 }]]);
  },
  "a statement outside and a transaction at once": async (sql, run) => {
    await Promise.all([KINDS["a transaction"]?.(sql, run), KINDS["statements in a pipeline"]?.(sql, run)]);
  },
};

/** Resolves with the error of `work`, or null; fails if `work` does not settle in time. */
async function outcome(work: Promise<unknown>): Promise<unknown> {
  const settled = work.then(
    () => null,
    (error: unknown) => error,
  );
  const answer = await Promise.race([settled, delay(10_000, "nothing", { ref: false })]);
  if (answer === "nothing") throw new Error("it never settles");
  return answer;
}

/** Runs `work` with a break before the server's message number `after`, and checks what is left; the pool must stay usable. */
async function breakAt(sql: Sql, kind: string, manner: Manner, after: number): Promise<void> {
  const work = KINDS[kind];
  if (work === undefined) throw new Error("no such kind");
  const run = `${kind}, ${manner} at ${after}, ${randomUUID()}`;
  proxy.arm(after, manner);
  const error = await outcome(work(sql, run));
  if (error !== null) expect([run, needOf(error), error]).toEqual([run, expect.stringMatching(/^(connection|shutdown)$/), error]);
  // A commit may have succeeded although there was an error, but never failed without one.
  expect(kind.startsWith("a transaction") && error === null && kind !== FAILS ? [2] : [0, 2], run).toContain(await parts(run));
  proxy.arm(null);
  for (let tries = 0; ; tries += 1) {
    const next = await outcome(work(sql, `${run}, again ${tries}`));
    if (next === null) return;
    // Another connection of the pool may notice its end only now.
    expect([run, tries < 2, needOf(next), next]).toEqual([run, true, "connection", next]);
  }
}

test.each(Object.keys(KINDS))("N8: %s, broken at each message by PostgreSQL and by the network", async (kind) => {
  const sql = connect(proxy.options, 2);
  onTestFinished(() => sql.end({ timeout: 1 }));
  await KINDS[kind]?.(sql, `${kind} at first`);
  proxy.arm(null);
  await KINDS[kind]?.(sql, `${kind} as ever`);
  const all = proxy.messages();
  expect(all).toBeGreaterThan(5);
  for (let after = FIRST; after < all; after += STEP) {
    for (const manner of ["fatal", after % 2 === 0 ? "half" : "reset"] as const) await breakAt(sql, kind, manner, after);
  }
  expect(await outcome(sql.end())).toBeNull();
  expect(unhandled).toEqual([]);
});

test.each(MANNERS)("N8: a connection that breaks at each message of its set-up and of its first transaction: %s", async (manner) => {
  for (let after = FIRST, isThrough = false; !isThrough; after += STEP) {
    const sql = connect(proxy.options, 1);
    await breakAt(sql, "a transaction", manner, after);
    isThrough = !proxy.hasCut();
    expect(await outcome(sql.end()), `${manner} at ${after}`).toBeNull();
    expect(after).toBeLessThan(60);
  }
  expect(unhandled).toEqual([]);
});

test.each(MANNERS)("N8: wake-ups arrive again after a break at each message of the listening connection: %s", async (manner) => {
  const sender = new PostgresBus(db.options);
  for (let after = FIRST, isThrough = false; !isThrough; after += STEP) {
    proxy.arm(after, manner);
    const bus = new PostgresBus(proxy.options);
    let [received, back] = [0, 0];
    await outcome(bus.start({ received: () => void (received += 1), back: () => void (back += 1) }));
    // Also a connection that breaks while it receives: it must report that wake-ups may have been missed.
    await expect.poll(() => sender.send(["x"]).then(() => received + back)).toBeGreaterThan(0);
    isThrough = !proxy.hasCut();
    const before = received;
    await expect.poll(() => sender.send(["y"]).then(() => received)).toBeGreaterThan(before);
    if (!isThrough) expect(back).toBeGreaterThan(0);
    expect(await outcome(bus.close())).toBeNull();
  }
  await sender.close();
  expect(unhandled).toEqual([]);
});

test("N8: a LISTEN that is cancelled, and is not broken off, is tried again", async () => {
  const [bus, received] = [new PostgresBus(db.options), vi.fn<(text: string) => void>()];
  const [{ database } = { database: "" }] = await db.sql<{ database: string }[]>`select current_database() as database`;
  // From now on a new session may do nothing for longer than a millisecond.
  await db.sql.unsafe(`alter database ${database} set statement_timeout = 1`);
  onTestFinished(async () => void (await db.sql.unsafe(`alter database ${database} reset statement_timeout`)));
  await bus.start({ received, back: () => {} });
  await expect
    .poll(async () => {
      await db.sql`select pg_notify('syncv3', 'x')`;
      return received.mock.calls.length;
    })
    .toBeGreaterThan(0);
  await bus.close();
});

test("N8: migrations that break at each message end with an error, and run the next time", async () => {
  // The last one is for a database with nothing to do.
  for (let after = FIRST, isThrough = false; !isThrough; after += STEP) {
    proxy.arm(after, MANNERS[after % MANNERS.length]);
    const error = await outcome(migrate(proxy.options));
    isThrough = !proxy.hasCut();
    expect([after, isThrough, error === null]).toEqual([after, isThrough, error === null]);
    if (error !== null) expect(error).toBeInstanceOf(Error);
  }
  expect(await migrate(db.options)).toEqual([]);
  expect(unhandled).toEqual([]);
});

test.each(MANNERS)("N8: the lock of a living process is taken again after a break at each message: %s", async (manner) => {
  for (let after = FIRST, isThrough = false; !isThrough; after += STEP) {
    const lock = new OwnerLock(proxy.options, randomUUID());
    proxy.arm(after, manner);
    await outcome(lock.hold());
    isThrough = !proxy.hasCut();
    await expect.poll(() => outcome(lock.hold())).toBeNull();
    expect(await outcome(lock.close())).toBeNull();
  }
  expect(unhandled).toEqual([]);
});

/** Messages of type R (Authentication) from a server that violates the protocol. */
const NONSENSE = [3, 5, 10, 11, 12, 99].map((kind) => Buffer.from([82, 0, 0, 0, 10, 0, 0, 0, kind, 120, 61]));

test("N8: nonsense from the server during the set-up is an error of the query", async () => {
  for (const message of [...NONSENSE, Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), Buffer.alloc(0)]) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(message));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const sql = connect(
      { host: "127.0.0.1", port: (server.address() as AddressInfo).port, password: "x", username: "x", database: "x", ssl: false },
      1,
    );
    expect(await outcome(sql`select 1`)).toBeInstanceOf(Error);
    expect(await outcome(sql.end({ timeout: 1 }))).toBeNull();
    server.close();
  }
  expect(unhandled).toEqual([]);
});

test("a statement that cannot be sent fails alone: those before and after it get their own answers", async () => {
  const sql = connect(db.options, 1);
  const send = (n: number, values: readonly (string | undefined)[]) => sql`select ${n}::integer as n, ${values as string[]}::text[] as a`;
  // Prepared, so that its values are checked before anything is sent.
  await send(0, []);
  const answers = await Promise.allSettled([send(1, ["a"]), send(2, [undefined]), send(3, ["c"])]);
  expect(answers).toMatchObject([{ value: [{ n: 1, a: ["a"] }] }, { reason: { message: /undefined element/ } }, { value: [{ n: 3, a: ["c"] }] }]);
  expect((await Promise.allSettled([send(4, [undefined])]))[0]?.status).toBe("rejected");
  expect(await send(5, ["e"])).toEqual([{ n: 5, a: ["e"] }]);
  await sql.end();
});

test("a transaction has its connection to itself, however many statements wait for it", async () => {
  const sql = connect(db.options, 1);
  // As many as the driver sends ahead.
  const statements = Array.from({ length: 101 }, (_, n) => sql`select ${n}::integer as n`.execute());
  const transactions = Array.from({ length: 3 }, () =>
    writeTx(sql, async (tx) => (await tx`select pg_current_xact_id_if_assigned() as id, 1 as n`)[0]?.["n"]),
  );
  expect(await Promise.all(transactions)).toEqual([1, 1, 1]);
  expect((await Promise.all(statements)).map(([row]) => row?.["n"])).toEqual(Array.from({ length: 101 }, (_, n) => n));
  const [{ open } = { open: -1 }] = await db.sql<{ open: number }[]>`
    select count(*)::integer as open from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`;
  expect(open).toBe(0);
  await sql.end();
});

test("a pool ends, whatever its connections are doing", async () => {
  proxy.arm(null);
  const sql = connect(proxy.options, 2);
  const sleeping = outcome(sql`select pg_sleep(1), pg_terminate_backend(pg_backend_pid())`);
  await sql`select 1`;
  const ended = outcome(sql.end());
  expect(needOf(await sleeping)).toMatch(/^(connection|shutdown)$/);
  expect(await ended).toBeNull();
  expect(unhandled).toEqual([]);
});
