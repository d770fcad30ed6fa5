import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import type { EventId } from "../../wire/ids.ts";
import { type Tx, writeTx } from "../db.ts";
import { holdEvents, keepEvents } from "../ingest/hold-events.ts";
import { deleteUnreferenced, nextEvents } from "./events.ts";

let db: TestDatabase;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`truncate events, timeline, state, members, older, older_chunks`;
});

const ids = (...names: string[]) => names as EventId[];
const stored = async () => (await db.sql<{ event_id: string }[]>`select event_id from events order by event_id`).map((row) => row.event_id);

/** As ingest does. */
async function write(tx: Tx, names: readonly string[], account = 1): Promise<void> {
  await Promise.all([
    ...holdEvents(tx, ids(...names)),
    tx`insert into events (event_id, type, sender, ts, body) select n, 't', '@a', 0, '{}' from unnest(${[...names]}::text[]) n on conflict do nothing`,
    ...keepEvents(
      tx,
      ids(...names).map((event_id) => ({ event_id, hash: null })),
    ),
    tx`insert into timeline (account, ord, room_id, event_id) select ${account}, o, '!r', n from unnest(${[...names]}::text[]) with ordinality u (n, o)`,
  ]);
}

const insert = (...names: string[]) =>
  db.sql`insert into events (event_id, type, sender, ts, body) select n, 't', '@a', 0, '{}' from unnest(${names}::text[]) n`;

test("a body stays while any account refers to it from anywhere", async () => {
  await insert("$chunk", "$free", "$member", "$older", "$other", "$state", "$timeline");
  await db.sql`insert into timeline (account, ord, room_id, event_id) values (1, 1, '!r', '$timeline')`;
  await db.sql`insert into older (account, room_id, idx, event_id) values (2, '!r', -1, '$older')`;
  await db.sql`insert into older_chunks (account, room_id, idx, state) values (2, '!r', -1, '["$x","$chunk"]')`;
  await db.sql`insert into state (account, room_id, type, state_key, from_ord, event_id) values (3, '!r', 't', '', 1, '$state')`;
  await db.sql`
    insert into members (account, room_id, user_id, from_ord, event_id, membership, sort_name) values (4, '!r', '@a', 1, '$member', 'join', 'a')`;
  const candidates = ids("$chunk", "$free", "$free", "$member", "$older", "$state", "$timeline", "$unknown");
  expect(await db.sql.begin((tx) => deleteUnreferenced(tx, candidates))).toBe(1);
  expect(await stored()).toEqual(["$chunk", "$member", "$older", "$other", "$state", "$timeline"]);
});

test("the index for the states of fetched history is one that the query can use", async () => {
  const plan = await db.sql.begin(async (tx) => {
    await tx`set local enable_seqscan = off`;
    return tx<{ "QUERY PLAN": string }[]>`
      explain select event_id from events e where event_id = any(array['$a']) and not exists (select from older_chunks x where x.state::jsonb ? e.event_id)`;
  });
  expect(plan.map((row) => row["QUERY PLAN"]).join("\n")).toContain("older_chunks_state");
});

test("a body is not deleted while a transaction is about to refer to it", async () => {
  await insert("$a", "$b");
  await db.sql.begin(async (tx) => {
    await write(tx, ["$a"]);
    expect(await db.sql.begin((other) => deleteUnreferenced(other, ids("$a", "$b")))).toBe(1);
  });
  expect(await stored()).toEqual(["$a"]);
});

test("a writer waits for a body that is being deleted, and inserts it again", async () => {
  await insert("$a");
  let writing: Promise<unknown> = Promise.resolve();
  await db.sql.begin(async (tx) => {
    expect(await deleteUnreferenced(tx, ids("$a"))).toBe(1);
    writing = db.sql.begin((other) => write(other, ["$a"]));
    for (;;) {
      const [row] = await tx`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      if (row) break;
    }
  });
  await writing;
  expect(await stored()).toEqual(["$a"]);
});

test("concurrent writers and deleters never leave a reference without its body", async () => {
  const names = Array.from({ length: 4 }, (_, index) => `$${index}`);
  const rounds = async (account: number) => {
    for (let round = 0; round < 200; round += 1) {
      await writeTx(db.sql, (tx) => write(tx, names, account));
      await db.sql.begin(async (tx) => {
        const gone = await tx<{ event_id: EventId }[]>`delete from timeline where account = ${account} returning event_id`;
        await deleteUnreferenced(
          tx,
          gone.map((row) => row.event_id),
        );
      });
      // Where its own row is gone, another account's may still exist.
      const [dangling] = await db.sql`select from timeline t where not exists (select from events e where e.event_id = t.event_id)`;
      expect(dangling).toBeUndefined();
    }
  };
  await Promise.all([1, 2, 3, 4].map(rounds));
});

test("the walk through all bodies goes on after the last one", async () => {
  await insert("$a", "$b", "$c");
  expect(await nextEvents(db.sql, "", 2)).toEqual(["$a", "$b"]);
  expect(await nextEvents(db.sql, "$b", 2)).toEqual(["$c"]);
});
