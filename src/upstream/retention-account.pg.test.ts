import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { RetentionFixture } from "../../test/support/retention-fixture.ts";
import { readTimelines } from "../store/timeline.ts";
import type { Position, RoomId } from "../wire/ids.ts";

let db: TestDatabase;
let it: RetentionFixture;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  it = await RetentionFixture.make(db);
});

/** No client can ask for anything up to `horizon` any more; the account has advanced further. */
async function horizonAt(horizon: number) {
  await it.moveTo(horizon + 1000);
  await it.session({ position: horizon });
  return it.anHour();
}

async function ordinals(room: RoomId) {
  const rows = await db.sql<{ ord: number; gap: boolean; prev_batch: string | null }[]>`
    select ord, gap, prev_batch from timeline where room_id = ${room} order by ord`;
  return { first: rows[0], count: rows.length, gaps: rows.filter((row) => row.gap).length };
}
const keys = async (table: "state" | "members") =>
  (await db.sql<{ from_ord: number }[]>`select from_ord from ${db.sql(table)} order by from_ord`).map((row) => row.from_ord);

describe("timelines", () => {
  test("the newest 100 rows up to the horizon stay, and all above it; the first one follows a gap", async () => {
    const room = await it.room("r", 1, 250);
    const counts = await horizonAt(200);
    expect(await ordinals(room)).toEqual({ first: { ord: 101, gap: true, prev_batch: "t101" }, count: 150, gaps: 1 });
    expect(counts).toMatchObject({ timeline: 100, events: 100 });
    expect(await it.eventIds()).toHaveLength(150);
  });

  test("100 rows up to the horizon are not cut, whatever is above it", async () => {
    const room = await it.room("r", 1, 400);
    await horizonAt(100);
    expect(await ordinals(room)).toEqual({ first: { ord: 1, gap: false, prev_batch: "t1" }, count: 400, gaps: 0 });
  });

  test("they are cut at a known upstream token, if one is near", async () => {
    const near = await it.room("n", 1, 300, 70);
    const far = await it.room("f", 301, 600, 1000);
    await horizonAt(600);
    expect(await ordinals(near)).toMatchObject({ first: { ord: 140, gap: true, prev_batch: "t140" }, count: 161 });
    expect(await ordinals(far)).toMatchObject({ first: { ord: 501, gap: true, prev_batch: null }, count: 100 });
  });

  test("readers see a limited timeline that continues at the next known token", async () => {
    const room = await it.room("r", 1, 300, 70);
    await horizonAt(300);
    const read = (limit: number) =>
      readTimelines(db.sql, it.account, [{ roomId: room, after: 0, sentSince: null }], { to: 300 as Position, limit, ignored: [] });
    expect((await read(100)).get(room)).toMatchObject({ limited: true, prevBatch: "t210", reachesStart: false });
    expect((await read(200)).get(room)).toMatchObject({ limited: true, prevBatch: "t140", reachesStart: true });
  });

  test("fetched history is deleted with the rows that it joined up with, and stays if nothing was cut", async () => {
    const cut = await it.room("c", 1, 200);
    const uncut = await it.room("w", 201, 220);
    await it.events(["$old-c", "$old-w", "$s-c", "$s-w"]);
    for (const [room, name] of [
      [cut, "c"],
      [uncut, "w"],
    ] as const) {
      await db.sql`insert into older (account, room_id, idx, event_id) values (${it.account}, ${room}, -1, ${`$old-${name}`})`;
      await db.sql`insert into older_chunks (account, room_id, idx, state) values (${it.account}, ${room}, -1, ${`["$s-${name}"]`})`;
    }
    const counts = await horizonAt(220);
    expect(counts).toMatchObject({ older: 2, timeline: 100, events: 102 });
    expect(await db.sql`select room_id from older`).toEqual([{ room_id: uncut }]);
    expect(await db.sql`select room_id from older_chunks`).toEqual([{ room_id: uncut }]);
    expect((await it.eventIds()).filter((id) => !/^\$[cw]\d/.test(id))).toEqual(["$old-w", "$s-w"]);
  });

  test("a second run continues where the first one ended, and has nothing to do without a higher horizon", async () => {
    const room = await it.room("r", 1, 250);
    const [session] = [await it.session({ position: 200 })];
    await it.moveTo(300);
    await it.anHour();
    expect(await it.run()).toMatchObject({ accounts_swept: 0, timeline: 0, events: 0 });
    await it.use(session, 250);
    expect(await it.anHour()).toMatchObject({ accounts_swept: 1, timeline: 50 });
    expect(await ordinals(room)).toEqual({ first: { ord: 151, gap: true, prev_batch: "t151" }, count: 100, gaps: 1 });
  });

  test("one run deletes more than a batch", async () => {
    await it.room("r", 1, 5100);
    expect(await horizonAt(5100)).toMatchObject({ timeline: 5000, events: 5000 });
  });
});

describe("state and members", () => {
  test("rows that ended up to the horizon are deleted, open ones and later ones stay", async () => {
    const room = "!r:test" as RoomId;
    await it.state(room, "a", 1, 9);
    await it.state(room, "a", 9, 10);
    await it.state(room, "a", 10, 11);
    await it.state(room, "a", 11);
    await it.member(room, "@a", 2, 10);
    await it.member(room, "@a", 10, 12);
    await it.member(room, "@a", 12);
    const counts = await horizonAt(10);
    expect(await keys("state")).toEqual([10, 11]);
    expect(await keys("members")).toEqual([10, 12]);
    expect(counts).toMatchObject({ state: 2, members: 1, events: 3 });
    expect(await it.eventIds()).toEqual(["$m-@a-10", "$m-@a-12", "$s-a-10", "$s-a-11"]);
  });

  test("S4: the state before the oldest remaining timeline event can still be sent", async () => {
    const room = await it.room("r", 100, 300);
    // The timeline will begin at 201, so the state before it is the one at 200.
    await it.state(room, "a", 1, 200);
    await it.state(room, "a", 200, 201);
    await it.state(room, "a", 201);
    await it.member(room, "@a", 1, 200);
    await it.member(room, "@a", 200, 201);
    await it.member(room, "@a", 201, 250);
    await it.member(room, "@a", 250);
    await horizonAt(300);
    expect(await keys("state")).toEqual([200, 201]);
    expect(await keys("members")).toEqual([200, 201, 250]);
  });

  test("facts that ended up to the horizon are deleted", async () => {
    const facts = (from: number, to: string) => db.sql`
      insert into room_facts (account, room_id, from_ord, to_ord, membership, facts) values (${it.account}, '!r:test', ${from}, ${to}::bigint, 'join', '{}')`;
    await facts(1, "10");
    await facts(10, "11");
    await facts(11, "9223372036854775807");
    expect(await horizonAt(10)).toMatchObject({ facts: 1 });
    expect(await db.sql`select from_ord from room_facts order by from_ord`).toEqual([{ from_ord: 10 }, { from_ord: 11 }]);
  });

  test("other accounts' rows and their bodies stay", async () => {
    const room = "!r:test" as RoomId;
    await it.state(room, "a", 1, 9);
    await db.sql`insert into accounts (account, user_id) values (99, '@other:test')`;
    await db.sql`insert into state select 99, room_id, type, state_key, from_ord, to_ord, event_id from state`;
    expect(await horizonAt(10)).toMatchObject({ state: 1, events: 0 });
    expect(await db.sql`select account, event_id from state`).toEqual([{ account: 99, event_id: "$s-a-1" }]);
    expect(await it.eventIds()).toEqual(["$s-a-1"]);
  });
});

describe("invites and rooms that were left", () => {
  const invite = (room: string, gone: boolean, ord: number) => db.sql`
    insert into invites (account, room_id, kind, body, gone, ord) values (${it.account}, ${room}, 'invite', '{}', ${gone}, ${ord})`;

  test("an invite is deleted once every session has received that it no longer exists", async () => {
    await invite("!pending:test", false, 5);
    await invite("!told:test", true, 10);
    await invite("!untold:test", true, 11);
    expect(await horizonAt(10)).toMatchObject({ invites: 1 });
    expect(await db.sql`select room_id from invites order by ord`).toEqual([{ room_id: "!pending:test" }, { room_id: "!untold:test" }]);
  });

  test("a room is deleted once every token has been sent that it was left", async () => {
    const left = await it.room("l", 1, 10, 1, "leave");
    const banned = await it.room("b", 11, 20, 1, "ban");
    const late = await it.room("k", 21, 31, 1, "leave");
    const joined = await it.room("j", 32, 40);
    for (const [index, room] of [left, banned, late, joined].entries()) {
      await it.state(room, `s${index}`, 2);
      await it.member(room, "@me:test", 3 + index);
      await db.sql`insert into account_data (account, room_id, type, body, ord) values (${it.account}, ${room}, 'm.tag', '{}', 4)`;
      await db.sql`
        insert into receipts (account, room_id, user_id, kind, event_id, data, ord) values (${it.account}, ${room}, '@a', 'm.read', '$x', '{}', 4)`;
      await db.sql`insert into typing (account, room_id, users, ord) values (${it.account}, ${room}, '[]', 4)`;
    }
    await db.sql`insert into account_data (account, room_id, type, body, ord) values (${it.account}, '', 'm.direct', '{}', 4)`;
    await invite(left, true, 41);
    const counts = await horizonAt(30);
    expect(counts).toMatchObject({ left_rooms: 2, timeline: 0, events: 24, left_room_rows: 34 });
    for (const table of ["timeline", "state", "members", "rooms", "room_facts", "receipts", "typing"]) {
      const rows = await db.sql<{ room_id: string }[]>`select distinct room_id from ${db.sql(table)} order by room_id`;
      expect(
        rows.map((row) => row.room_id),
        table,
      ).toEqual([joined, late]);
    }
    expect(await db.sql`select room_id from account_data order by room_id`).toEqual([{ room_id: "" }, { room_id: joined }, { room_id: late }]);
    expect(await db.sql`select room_id from invites`).toEqual([{ room_id: left }]);
  });

  test("a left room with news for some token is not deleted", async () => {
    const room = await it.room("l", 1, 10, 1, "leave");
    await db.sql`insert into account_data (account, room_id, type, body, ord) values (${it.account}, ${room}, 'm.tag', '{}', 31)`;
    expect(await horizonAt(30)).toMatchObject({ left_rooms: 0, left_room_rows: 0 });
    expect((await ordinals(room)).count).toBe(10);
  });

  test("a large room is deleted in several steps", async () => {
    const room = await it.room("l", 1, 10, 1, "leave");
    const users = Array.from({ length: 4500 }, (_, index) => `@u${index}`);
    await it.events(users.map((user) => `$${user}`));
    await db.sql`
      insert into members (account, room_id, user_id, from_ord, event_id, membership, sort_name)
      select ${it.account}, ${room}, u, 1, '$' || u, 'join', u from unnest(${users}::text[]) u`;
    expect(await horizonAt(30)).toMatchObject({ left_rooms: 1, events: 4510 });
    expect(await it.eventIds()).toEqual([]);
  });
});
