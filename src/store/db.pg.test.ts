import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { readTx, writeTx } from "./db.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
  await db.sql`create table notes (note text)`;
});
afterAll(() => db.drop());

const notes = async () => (await db.sql<{ note: string }[]>`select note from notes order by note`).map((row) => row.note);

test("a transaction that conflicts with another one runs again, and writes its rows once", async () => {
  let runs = 0;
  const result = await writeTx(db.sql, async (tx) => {
    runs += 1;
    await tx`insert into notes values (${`run ${runs}`})`;
    if (runs < 3) await tx`do $$ begin raise exception using errcode = 'serialization_failure'; end $$`;
    return runs;
  });
  expect(result).toBe(3);
  expect(await notes()).toEqual(["run 3"]);
});

test("it gives up after some tries; any other error ends it at once and leaves nothing", async () => {
  let runs = 0;
  const fail = (code: string) =>
    writeTx(db.sql, async (tx) => {
      runs += 1;
      await tx`insert into notes values ('failed')`;
      await tx.unsafe(`do $$ begin raise exception using errcode = '${code}'; end $$`);
    });
  await expect(fail("40P01")).rejects.toMatchObject({ code: "40P01" });
  expect(runs).toBe(5);
  await expect(fail("22000")).rejects.toMatchObject({ code: "22000" });
  expect(runs).toBe(6);
  expect(await notes()).toEqual(["run 3"]);
});

test("a read transaction sees one moment, and cannot write", async () => {
  await readTx(db.sql, async (tx) => {
    expect((await tx`select from notes`).length).toBe(1);
    await db.sql`insert into notes values ('meanwhile')`;
    expect((await tx`select from notes`).length).toBe(1);
  });
  await expect(readTx(db.sql, (tx) => tx`insert into notes values ('written')`)).rejects.toMatchObject({ code: "25006" });
});

test("a connection that breaks during a transaction ends the transaction and nothing else", async () => {
  for (let round = 0; round < 20; round += 1) {
    const broken = writeTx(db.sql, async (tx) => {
      const [row] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`;
      await db.sql`select pg_terminate_backend(${row?.pid ?? 0})`;
      // A write on the closed connection fails, whichever happens first.
      for (;;) await tx`select 1`;
    });
    await expect(broken).rejects.toBeInstanceOf(Error);
    expect(await db.sql`select 1 as one`).toEqual([{ one: 1 }]);
  }
});
