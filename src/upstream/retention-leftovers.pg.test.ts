import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { DAY, HOUR, RetentionFixture } from "../../test/support/retention-fixture.ts";
import type { SessionNo } from "../wire/ids.ts";

let db: TestDatabase;
let it: RetentionFixture;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  it = await RetentionFixture.make(db);
});

const ago = (ms: number) => new Date(it.now - ms);
const column = async (query: Promise<readonly Record<string, unknown>[]>) => (await query).map((row) => Object.values(row)[0]);

async function message(seq: number, ageMs = 0) {
  await db.sql`
    insert into to_device (device, seq, before_pos, body, hash, received_at) values (${it.device}, ${seq}, 0, '{}', ${Buffer.from([seq])}, ${ago(ageMs)})`;
}
const queued = () => column(db.sql`select seq from to_device order by seq`);

describe("sessions", () => {
  test("D20: sessions that are idle for long end, also those of v2 clients", async () => {
    await it.session({ idleMs: 7 * DAY });
    await it.session({ idleMs: 7 * DAY, kind: "v2" });
    const live = await it.session({ idleMs: 7 * DAY - 1 });
    expect(await it.run()).toMatchObject({ sessions: 2 });
    expect(await column(db.sql`select session from sessions`)).toEqual([live]);
  });

  test("S2: what only they held back is purged, and so is what only they acknowledged", async () => {
    for (const seq of [1, 2, 3, 4]) await message(seq);
    await it.session({ idleMs: 7 * DAY, takesPart: true, acked: 1 });
    await it.session({ takesPart: true, acked: 3 });
    expect(await it.run()).toMatchObject({ sessions: 1, purged: 3 });
    expect(await queued()).toEqual([4]);
  });

  test("S2: when the last session ends, what it had not acknowledged is left to the next one", async () => {
    for (const seq of [1, 2]) await message(seq);
    await it.session({ idleMs: 7 * DAY, takesPart: true, acked: 1 });
    expect(await it.run()).toMatchObject({ sessions: 1, purged: 1 });
    expect(await queued()).toEqual([2]);
  });

  test("more than a batch ends in one run", async () => {
    for (let count = 0; count < 450; count += 1) await it.session({ idleMs: 8 * DAY });
    expect(await it.run()).toMatchObject({ sessions: 450 });
  });
});

describe("what sessions leave behind", () => {
  const state = (session: SessionNo, number: number, ageMs: number) => db.sql`
    insert into session_states (session, state, hash, body, used_at) values (${session}, ${number}, ${Buffer.from([number])}, '{}', ${ago(ageMs)})`;

  test("B17: states are deleted an hour of use after they were used, except the last used one and those given out after it", async () => {
    const session = await it.session({ state: 3, idleMs: DAY });
    await state(session, 1, DAY + HOUR + 1);
    await state(session, 2, DAY + HOUR);
    await state(session, 3, 5 * DAY);
    // A lower number can be a later state: the same content has the same number.
    await state(session, 4, DAY - 1);
    expect(await it.run()).toMatchObject({ session_states: 1 });
    expect(await column(db.sql`select state from session_states order by state`)).toEqual([2, 3, 4]);
  });

  test("page answers below the horizon are deleted, except a session's newest 100", async () => {
    await it.moveTo(1000);
    const session = await it.session({ position: 300 });
    await db.sql`
      insert into session_pages (session, page, position, rooms) select ${session}, n, 2 * n, '[]' from generate_series(1, 200) n`;
    await it.anHour();
    expect(await column(db.sql`select min(page) from session_pages`)).toEqual([101]);
    await db.sql`insert into session_pages (session, page, position, rooms) select ${session}, n, 2 * n, '[]' from generate_series(201, 300) n`;
    await it.run();
    expect(await column(db.sql`select min(page) from session_pages`)).toEqual([150]);
  });

  test("D15: ordered lists stay while their pages are valid", async () => {
    const session = await it.session();
    const list = (number: number, ageMs: number) => db.sql`
      insert into list_snapshots (session, snapshot, hash, rooms, created_at) values (${session}, ${number}, 'x', '[]', ${ago(ageMs)})`;
    await list(1, 2 * HOUR + 1);
    await list(2, 2 * HOUR);
    expect(await it.run()).toMatchObject({ list_snapshots: 1 });
    expect(await column(db.sql`select snapshot from list_snapshots`)).toEqual([2]);
  });

  test("M77: presence that no session asks for is deleted, once no connection can ask for it again", async () => {
    await db.sql`insert into presence (account, user_id, body, ord) values (${it.account}, '@a', '{}', 1)`;
    await db.sql`update accounts set presence_since = 's1' where account = ${it.account}`;
    const session = await it.session({ presence: true });
    const connection = await it.session({ kind: "connection" });
    expect(await it.run()).toMatchObject({ presence: 0 });
    await db.sql`update sessions set presence = false where session = ${session}`;
    expect(await it.run()).toMatchObject({ presence: 0 });
    await db.sql`delete from sessions where session = ${connection}`;
    expect(await it.run()).toMatchObject({ presence: 1 });
    expect(await column(db.sql`select presence_since from accounts where account = ${it.account}`)).toEqual([null]);
  });
});

test("M73: sticky events are deleted when their time is over, with bodies that nothing else refers to", async () => {
  for (const [n, until] of [it.now - 1, it.now, it.now + 1, it.now - 1].entries()) {
    await db.sql`insert into events (event_id, type, sender, ts, body) values (${`$${n}`}, 't', '@a', 1, '{}')`;
    await db.sql`
      insert into sticky_events (account, ord, room_id, event_id, sticky_until) values (${it.account}, ${n + 1}, '!r', ${`$${n}`}, ${until})`;
  }
  await db.sql`insert into timeline (account, ord, room_id, event_id) values (${it.account}, 9, '!r', '$3')`;
  expect(await it.run()).toMatchObject({ sticky_events: 3 });
  expect(await column(db.sql`select event_id from sticky_events`)).toEqual(["$2"]);
  expect(await column(db.sql`select event_id from events order by event_id`)).toEqual(["$2", "$3"]);
});

test("M67: of an account's fields of profiles those stay that changed last", async () => {
  await db.sql`
    insert into profiles (account, user_id, field, value, ord) select ${it.account}, '@u' || n, 'f', '1', n from generate_series(1, 50003) n`;
  await it.moveTo(60_000);
  await it.session({ position: 59_000 });
  await it.anHour();
  expect(await column(db.sql`select count(*)::integer from profiles`)).toEqual([50_000]);
  expect(await column(db.sql`select min(ord)::integer from profiles`)).toEqual([4]);
});

describe("devices", () => {
  test("S2: messages that no client fetched in 30 days are deleted; those that a session holds stay", async () => {
    await message(1, 31 * DAY);
    await message(2, 30 * DAY + 1);
    await message(3, 30 * DAY);
    const holder = await it.session({ takesPart: true });
    expect(await it.run()).toMatchObject({ to_device: 0 });
    await db.sql`delete from sessions where session = ${holder}`;
    await it.session({ takesPart: false });
    expect(await it.run()).toMatchObject({ to_device: 2 });
    expect(await queued()).toEqual([3]);
  });

  test("D1: records and tokens of passed answers are deleted when they expire", async () => {
    const note = (hash: string, ageMs: number) => db.sql`
      insert into to_device_passed (device, hash, times, passed_at) values (${it.device}, ${hash}, 1, ${ago(ageMs)})`;
    await note("a", DAY + 1);
    await note("b", DAY);
    const batch = (hash: string, ageMs: number) => db.sql`
      insert into passed_batches (device, token_hash, seq, passed_at) values (${it.device}, ${hash}, 1, ${ago(ageMs)})`;
    await batch("old", 7 * DAY + 1);
    for (let n = 0; n < 22; n += 1) await batch(`b${n}`, n * HOUR);
    expect(await it.run()).toMatchObject({ to_device_passed: 1, passed_batches: 3 });
    expect(await column(db.sql`select count(*) from passed_batches`)).toEqual([20]);
    expect(await column(db.sql`select count(*) from passed_batches where token_hash in ('old', 'b20', 'b21')`)).toEqual([0]);
  });

  test("transaction ids of sent events are deleted after a day, and with their device", async () => {
    const sent = (eventId: string, ageMs: number) => db.sql`
      insert into sent_events (event_id, device, txn_id, sent_at) values (${eventId}, ${it.device}, 'm1', ${ago(ageMs)})`;
    await sent("$old", DAY + 1);
    await sent("$new", DAY);
    expect(await it.run()).toMatchObject({ sent_events: 1 });
    expect(await column(db.sql`select event_id from sent_events`)).toEqual(["$new"]);
    await db.sql`delete from devices`;
    expect(await column(db.sql`select event_id from sent_events`)).toEqual([]);
  });

  test("D2: a device whose last token died 30 days ago is deleted, and with the last device the account", async () => {
    const [second] = await db.sql<{ device: number }[]>`
      insert into devices (account, device_id, created_at) values (${it.account}, 'E', ${ago(40 * DAY)}) returning device`;
    await db.sql`insert into tokens (token_hash, device, account, ciphertext, dead_at) values ('b', ${second?.device ?? 0}, ${it.account}, 'c', ${ago(30 * DAY + 1)})`;
    await db.sql`update devices set created_at = ${ago(40 * DAY)}`;
    await it.room("r", 1, 10);
    await db.sql`update tokens set dead_at = ${ago(30 * DAY)} where device = ${it.device}`;
    expect(await it.run()).toMatchObject({ tokens: 1, devices: 1, accounts: 0, events: 0 });
    expect(await column(db.sql`select device from devices`)).toEqual([it.device]);
    it.pass(1);
    expect(await it.run()).toMatchObject({ tokens: 1, devices: 1, accounts: 1, events: 10 });
    for (const table of ["accounts", "devices", "timeline", "events", "rooms"]) {
      expect(await column(db.sql`select count(*) from ${db.sql(table)}`), table).toEqual([0]);
    }
  });

  test("D2: a device with another live token stays, and so does a new one", async () => {
    await db.sql`insert into tokens (token_hash, device, account, ciphertext, dead_at) values ('b', ${it.device}, ${it.account}, 'c', ${ago(31 * DAY)})`;
    await db.sql`update devices set created_at = ${ago(40 * DAY)}`;
    await db.sql`insert into devices (account, device_id, created_at) values (${it.account}, 'new', ${ago(30 * DAY)})`;
    expect(await it.run()).toMatchObject({ tokens: 1, devices: 0, accounts: 0 });
  });

  test("an account without a device is deleted, a new one stays", async () => {
    await db.sql`insert into accounts (user_id, created_at) values ('@old:test', ${ago(31 * DAY)}), ('@new:test', ${ago(29 * DAY)})`;
    expect(await it.run()).toMatchObject({ accounts: 1 });
    expect(await column(db.sql`select user_id from accounts order by user_id`)).toEqual(["@me:test", "@new:test"]);
  });

  test("responses that were set aside are deleted after 30 days", async () => {
    const poison = (ageMs: number) => db.sql`
      insert into poison (account, device, error, body, at) values (${it.account}, ${it.device}, 'x', 'x', ${ago(ageMs)})`;
    await poison(30 * DAY + 1);
    await poison(30 * DAY);
    expect(await it.run()).toMatchObject({ poison: 1 });
  });
});
