import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { writeRetention } from "../store/message-retention.ts";
import { findOlder } from "../store/older.ts";
import { readTimelines } from "../store/timeline.ts";
import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { DAY, HOUR, RetentionFixture } from "../../test/support/retention-fixture.ts";
import { NO_FACTS } from "../store/room-facts.ts";

let db: TestDatabase;
let fixture: RetentionFixture;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  fixture = await RetentionFixture.make(db);
});

/** A room with a message at each ordinal of the range: those up to `upTo` were sent so long ago, the others now. */
async function room(name: string, [first, last]: readonly [number, number], old: { upTo: number; ms: number }, lifetime?: number): Promise<RoomId> {
  const id = await fixture.room(name, first, last, 1000);
  const facts = JSON.stringify({ ...NO_FACTS, sources: lifetime === undefined ? {} : { lifetime } });
  await db.sql`update room_facts set facts = ${facts} where room_id = ${id}`;
  await db.sql`
    update events e set ts = case when t.ord <= ${old.upTo} then ${fixture.now - old.ms}::bigint else ${fixture.now} end
    from timeline t where t.event_id = e.event_id and t.room_id = ${id}`;
  return id;
}

const ords = async (id: RoomId) =>
  (await db.sql<{ ord: number }[]>`select ord from timeline where room_id = ${id} order by ord`).map(({ ord }) => ord);
const timelineOf = async (roomId: RoomId, after = 0) =>
  (await readTimelines(db.sql, fixture.account, [{ roomId, after, sentSince: null }], { to: 100 as Position, limit: 20, ignored: [] })).get(roomId);

it("T4: a day after their end messages are deleted, rows and bodies; not before, and state events never", async () => {
  await writeRetention(db.sql, {});
  const id = await room("a", [1, 6], { upTo: 4, ms: DAY + 23 * HOUR }, DAY);
  await db.sql`update events set state_key = 'x' where event_id = '$a2'`;
  expect((await fixture.run()).expired).toBe(0);
  fixture.pass(2 * HOUR);
  expect((await fixture.run()).expired).toBe(3);
  expect(await ords(id)).toEqual([2, 5, 6]);
  expect(await fixture.eventIds()).toEqual(["$a2", "$a5", "$a6"]);
});

it("T4: nothing is deleted where the homeserver does not apply retention, or the room and the homeserver have no lifetime", async () => {
  const [own, none] = [await room("a", [1, 3], { upTo: 3, ms: 900 * DAY }, 1), await room("b", [4, 6], { upTo: 6, ms: 900 * DAY })];
  expect((await fixture.run()).expired).toBe(0);
  await writeRetention(db.sql, null);
  expect((await fixture.run()).expired).toBe(0);
  await writeRetention(db.sql, { least: 1000 * DAY });
  expect((await fixture.run()).expired).toBe(0);
  await writeRetention(db.sql, { fallback: 1000 * DAY });
  expect((await fixture.run()).expired).toBe(3);
  expect([await ords(own), await ords(none)]).toEqual([[], [4, 5, 6]]);
  await writeRetention(db.sql, { fallback: DAY });
  await fixture.run();
  expect(await ords(none)).toEqual([]);
});

it("T4: a body stays while another account may show it", async () => {
  await writeRetention(db.sql, {});
  await room("a", [1, 2], { upTo: 1, ms: 9 * DAY }, DAY);
  const [other] = await db.sql<{ account: AccountNo }[]>`insert into accounts (user_id) values ('@other:test') returning account`;
  await db.sql`insert into timeline (account, ord, room_id, event_id) values (${other?.account ?? 0}, 1, '!a:test', '$a1')`;
  expect(await fixture.run()).toMatchObject({ expired: 1 });
  expect(await fixture.eventIds()).toEqual(["$a1", "$a2"]);
});

it("T4: fetched history is deleted likewise", async () => {
  await writeRetention(db.sql, {});
  const id = await room("a", [1, 1], { upTo: 0, ms: 0 }, DAY);
  await fixture.events(["$old"]);
  await db.sql`insert into older (account, room_id, idx, event_id) values (${fixture.account}, ${id}, -1, '$old')`;
  expect(await fixture.run()).toMatchObject({ expired: 1 });
  expect(await fixture.eventIds()).toEqual(["$a1"]);
});

it("T4: a gap before deleted messages does not move beyond a client's position", async () => {
  await writeRetention(db.sql, {});
  const id = await room("a", [1, 6], { upTo: 3, ms: 9 * DAY }, DAY);
  await db.sql`update timeline set gap = true, prev_batch = 'p1' where room_id = ${id} and ord = 1`;
  await db.sql`update accounts set position = 6, horizon = 3 where account = ${fixture.account}`;
  await fixture.session({ position: 3 });
  await fixture.run();
  expect(await ords(id)).toEqual([4, 5, 6]);
  expect(await timelineOf(id, 3)).toMatchObject({ limited: false });
});

it("T4: below every position it is before the next event then, with its token", async () => {
  await writeRetention(db.sql, {});
  const id = await room("a", [1, 6], { upTo: 3, ms: 9 * DAY }, DAY);
  await db.sql`update timeline set gap = true, prev_batch = 'p1' where room_id = ${id} and ord = 1`;
  await db.sql`update accounts set position = 6, horizon = 6 where account = ${fixture.account}`;
  await fixture.run();
  expect(await ords(id)).toEqual([4, 5, 6]);
  expect(await timelineOf(id)).toMatchObject({ limited: true, prevBatch: "p1", exact: true });
});

it("T4: an event of fetched history is found at its place among what is left", async () => {
  await writeRetention(db.sql, {});
  const id = await room("a", [1, 1], { upTo: 0, ms: 0 }, DAY);
  await fixture.events(["$o1", "$o3"]);
  await fixture.events(["$o2"], "m.room.topic");
  await db.sql`update events set state_key = '' where event_id = '$o2'`;
  await db.sql`
    insert into older (account, room_id, idx, event_id)
    select ${fixture.account}, ${id}, -n, '$o' || n from generate_series(1, 3) n`;
  expect(await findOlder(db.sql, fixture.account, ["$o2"])).toMatchObject([{ event_id: "$o2", place: 2 }]);
  await fixture.run();
  expect(await findOlder(db.sql, fixture.account, ["$o2"])).toMatchObject([{ event_id: "$o2", place: 1 }]);
});
