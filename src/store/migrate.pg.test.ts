import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { incompressibleText } from "../../test/support/lengths.ts";
import { NO_FACTS } from "./room-facts.ts";
import { sortName } from "../upstream/ingest/room-state.ts";
import type { UserId } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import { migrate, NewerDatabase } from "./migrate.ts";

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase(true);
});
afterEach(() => database.drop());

test("B58: an empty database gets the whole schema, and a second run does nothing", async () => {
  expect(await migrate(database.options)).toContain("0001_first");
  const tables = await database.sql`select table_name from information_schema.tables where table_schema = 'public'`;
  expect(tables.map((row) => String(row["table_name"]))).toEqual(expect.arrayContaining(["accounts", "events", "timeline", "sessions"]));
  expect(await migrate(database.options)).toEqual([]);
});

test("of two processes that start together one migrates and the other waits", async () => {
  const [a, b] = await Promise.all([migrate(database.options), migrate(database.options)]);
  expect([...a, ...b].filter((name) => name === "0001_first")).toHaveLength(1);
  expect(a.length === 0 || b.length === 0).toBe(true);
});

test("a database that a newer version has used is refused, and not changed", async () => {
  await migrate(database.options);
  await database.sql`insert into migrations (name, run_on) values ('9999_of_tomorrow', now())`;
  await expect(migrate(database.options)).rejects.toThrow(NewerDatabase);
  await expect(migrate(database.options)).rejects.toThrow("9999_of_tomorrow");
  expect(await database.sql`select from migrations where name = '9999_of_tomorrow'`).toHaveLength(1);
});

const MIGRATIONS = join(import.meta.dirname, "../../sql");
const names = (await readdir(MIGRATIONS)).filter((name) => /^\d.*\.sql$/.test(name)).toSorted();

/** Runs the migrations up to and including the one with that number. */
async function migrateUpTo(number: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-migrate-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const name of names.filter((one) => one.slice(0, 4) <= number)) await cp(join(MIGRATIONS, name), join(directory, name));
  await migrate(database.options, undefined, directory);
}

const insertMember = (user: string, name: string) => database.sql`
  insert into members (account, room_id, user_id, from_ord, event_id, membership, sort_name) values (1, '!a:test', ${user}, 1, '$e', 'join', ${name})`;

async function sortNames(): Promise<string[]> {
  const rows = await database.sql`select sort_name from members order by user_id`;
  return rows.map((row) => String(row["sort_name"]));
}

test("N2: a database whose names do not fit in an index row gets the index", async () => {
  await migrateUpTo("0007");
  await insertMember("@a:test", incompressibleText(3000));
  await insertMember("@b:test", "bob");
  await migrate(database.options);
  expect(await sortNames()).toEqual([incompressibleText(3000).slice(0, 500), "bob"]);
});

test("N2: old indexed values of any length become bounded, as in new rows", async () => {
  await migrateUpTo("0008");
  const { sql } = database;
  const user = "@me:test" as UserId;
  const texts = ["x".repeat(255), "x".repeat(256), "é".repeat(400), "😀".repeat(249), "😀x".repeat(1000), "x".repeat(100_000)];
  for (const [index, text] of texts.entries()) {
    await insertMember(`@u${index}:test`, text);
    await sql`insert into account_data (account, room_id, type, body, ord) values (1, '!a:test', ${text}, '{}', ${index})`;
  }
  await sql`insert into accounts (account, user_id, ignored) overriding system value values (1, ${user}, ${JSON.stringify(["@nul\0:test", "@b:test"])})`;
  for (const text of texts) await sql`insert into devices (account, device_id) values (1, ${text})`;
  await migrate(database.options);
  expect(await sortNames()).toEqual(texts.map((text) => sortName(user, text)));
  const data = await sql`select type from account_data order by ord`;
  expect(data.map((row) => String(row["type"]))).toEqual(texts.map(indexKey));
  const devices = await sql`select device_id from devices order by device`;
  expect(devices.map((row) => String(row["device_id"]))).toEqual(texts.map(indexKey));
  expect(await sql`select ignored from accounts`).toEqual([{ ignored: JSON.stringify(["@nul:test", "@b:test"]) }]);
});

test("T4: rooms with a stored m.room.retention get its max_lifetime in their facts", async () => {
  await migrateUpTo("0018");
  const { sql } = database;
  const empty = { ...NO_FACTS, tags: { "u.x": { sources: {} } } };
  const named = { ...NO_FACTS, sources: { name: '"sources":{"lifetime":1' } };
  const rooms = [
    { id: "!a:test", facts: empty, content: '{"max_lifetime": 86400000}' },
    { id: "!b:test", facts: named, content: '{"min_lifetime":1,"max_lifetime":5}' },
    { id: "!c:test", facts: empty, content: '{"max_lifetime":"5"}' },
    { id: "!d:test", facts: empty, content: null },
  ];
  for (const { id, facts, content } of rooms) {
    await sql`insert into room_facts (account, room_id, from_ord, membership, facts) values (1, ${id}, 1, 'join', ${JSON.stringify(facts)})`;
    if (content === null) continue;
    await sql`insert into events (event_id, type, state_key, sender, ts, body) values (${id}, 'm.room.retention', '', '@b:test', 0, ${`{"content":${content}}`})`;
    await sql`insert into state (account, room_id, type, state_key, from_ord, event_id) values (1, ${id}, 'm.room.retention', '', 1, ${id})`;
  }
  await migrate(database.options);
  const rows = await sql<{ facts: string }[]>`select facts from room_facts order by room_id`;
  expect(rows.map((row) => JSON.parse(row.facts) as unknown)).toEqual([
    { ...empty, sources: { lifetime: 86_400_000 } },
    { ...named, sources: { ...named.sources, lifetime: 5 } },
    empty,
    empty,
  ]);
});

test("T7: what stored events relate to, and what was bundled with them, is found in their JSON, whatever that is", async () => {
  await migrateUpTo("0021");
  const { sql } = database;
  const relation = '{"m.relates_to":{"rel_type":"m.thread","event_id":"$root"}}';
  const bodies = {
    $child: `{"content":${relation}}`,
    $deep: `{"a":${"[".repeat(20_000)}${"]".repeat(20_000)},"content":${relation}}`,
    $nul: '{"content":{"m.relates_to":{"rel_type":"m.thread\\u0000","event_id":"$root"}}}',
    $number: '{"content":{"m.relates_to":{"rel_type":"m.thread","event_id":1}}}',
    $reaction: `{"content":${relation.replace("m.thread", "m.annotation")}}`,
    $text: '{"content":{"body":"\\"m.relates_to\\""}}',
  };
  const bundle = '{"m.thread": {"count":1.0}}';
  const unsigned = [
    `{"m.relations":${bundle},"x":1}`,
    `{"m.relations":${bundle}}`,
    '{"m.relations":[]}',
    '{"x":"\\u0000","m.relations":{}}',
    '{"y":1}',
  ];
  for (const [id, body] of Object.entries(bodies)) {
    await sql`insert into events (event_id, type, sender, ts, body) values (${id}, 'm.room.message', '@b:test', 0, ${body})`;
  }
  for (const [n, text] of unsigned.entries()) {
    await sql`insert into timeline (account, ord, room_id, event_id, unsigned) values (1, ${n}, '!a:test', '$child', ${text})`;
    await sql`insert into older (account, room_id, idx, event_id, unsigned) values (1, '!a:test', ${n}, '$child', ${text})`;
  }
  await migrate(database.options);
  expect(await sql`select event_id, relates_to, rel_type from events where relates_to is not null and event_id <> '$deep'`).toEqual([
    { event_id: "$child", relates_to: "$root", rel_type: "m.thread" },
  ]);
  const expected = [
    { unsigned: '{"x": 1}', relations: bundle },
    { unsigned: null, relations: bundle },
    { unsigned: null, relations: null },
    { unsigned: null, relations: null },
    { unsigned: '{"y":1}', relations: null },
  ];
  expect(await sql`select unsigned, relations from timeline order by ord`).toEqual(expected);
  expect(await sql`select unsigned, relations from older order by idx`).toEqual(expected);
});

test.each(names.slice(0, -1).map((name, index) => [name, index + 1] as const))(
  "a database migrated up to %s gets the rest, with rows in it and other writers",
  async (_, count) => {
    await migrateUpTo(names[count - 1]?.slice(0, 4) ?? "");
    expect(await database.sql`select from migrations`).toHaveLength(count);
    await database.sql`insert into accounts (user_id, complete) select '@u' || n || ':test', true from generate_series(1, 1000) n`;
    await database.sql`insert into devices (account, device_id) select account, 'D' from accounts`;
    await database.sql`insert into rooms (account, room_id, last_ord) select account, '!a:test', 1 from accounts`;
    await database.sql`insert into room_facts (account, room_id, from_ord, membership, facts) select account, '!a:test', 1, 'join', '{}' from accounts`;
    const done = new AbortController();
    let writes = 0;
    const others = (async () => {
      while (!done.signal.aborted) {
        await database.sql`update devices set seq = seq + 1 where device = (select min(device) from devices)`;
        await database.sql`insert into accounts (user_id) values (${`@later${writes}:test`})`;
        writes += 1;
      }
    })();
    expect(await migrate(database.options)).toEqual(names.slice(count).map((name) => name.replace(/\.sql$/, "")));
    done.abort();
    await others;
    expect(writes).toBeGreaterThan(0);
    const [row] = await database.sql`select count(*) as count from devices`;
    expect(row?.["count"]).toBe(1000);
  },
);
