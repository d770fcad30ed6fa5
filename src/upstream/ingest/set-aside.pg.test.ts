import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, type Json, newRoom, receipt, toDevice, typing, type V2Parts } from "../../../test/support/events.ts";
import { refuse, stopRefusing } from "../../../test/support/refusing.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import { forgetRoom } from "../../store/forget.ts";
import { readToDevice } from "../../store/to-device.ts";
import type { RoomId } from "../../wire/ids.ts";
import { cutResponse } from "../../wire/v2-response.ts";
import { Ingester } from "./ingest.ts";
import type { IngestResult } from "./ingest-result.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await stopRefusing(db.sql);
  await db.sql`truncate poison, rereads, poll_troubles`;
});

const GOOD = "!good:test";
const BAD = "!bad:test";

let users = 0;
/** For both rooms. An answer that fails is blamed at once. */
async function account(): Promise<TestAccount> {
  users += 1;
  const ingester = new Ingester({ sql: db.sql, suspects: { tries: 1, patienceMs: 0 } });
  const me = await TestAccount.create(db.sql, `@me${users}:test`, ingester);
  await me.step({ join: { [GOOD]: { timeline: newRoom(me.me) }, [BAD]: { timeline: newRoom(me.me) } } });
  return me;
}

let messages = 0;
/** Content of every kind in both rooms, and outside them. What the triggers refuse has `bad` in its name. */
function everything(me: string): V2Parts {
  messages += 1;
  const room = (name: string) => ({
    timeline: [
      ev.message(`@${name}:test`, "", { event_id: `$${name}-message${messages}` }),
      ev.name(me, name, { event_id: `$${name}-name${messages}` }),
    ],
    state: [ev.member(`@${name}:test`, "join", { displayname: String(messages) }, { event_id: `$${name}-member${messages}` })],
    ephemeral: [typing(`@${name}${messages}:test`), receipt(`$${name}-message${messages}`, `@${name}:test`)],
    account_data: [{ type: `${name}.room`, content: { messages } }],
  });
  return {
    join: { [GOOD]: room("good"), [BAD]: room("bad") },
    invite: { [`!good-invite${messages}:test`]: [], [`!bad-invite${messages}:test`]: [] },
    account_data: [
      { type: "good.global", content: { messages } },
      { type: "bad.global", content: { messages } },
    ],
    presence: [
      { type: "m.presence", sender: "@good:test", content: { messages } },
      { type: "m.presence", sender: "@bad:test", content: { messages } },
    ],
    to_device: [toDevice("@good:test", { n: messages }), toDevice("@bad:test", { n: messages }), toDevice("@good:test", { after: messages })],
    device_lists: { changed: [`@good${messages}:test`, `@bad${messages}:test`] },
    one_time_keys: { signed_curve25519: messages },
  };
}

type Aside = { readonly kind: string; readonly name: string };
async function asides(me: TestAccount): Promise<Aside[]> {
  return [...(await db.sql<Aside[]>`select kind, name from poison where account = ${me.account} order by kind, name`)];
}

/** Everything in the last answer except for the named part is stored. */
async function expectTheRest(me: TestAccount, result: IngestResult): Promise<void> {
  expect(result).toMatchObject({ kind: "stored", toDevice: true });
  expect(await me.ids(GOOD)).toContain(`$good-message${messages}`);
  const [row] = await db.sql`select a.since, d.since as device from accounts a join devices d using (account) where a.account = ${me.account}`;
  expect(row).toEqual({ since: me.since, device: me.since });
  const queue = await readToDevice(db.sql, me.device, 0, 100);
  expect(queue.map(({ body }) => JSON.parse(body) as Json)).toEqual(everything("").to_device?.map(withCount(-1)));
  messages -= 1;
}

/** `everything` has incremented its counter since. */
function withCount(by: number): (message: Json) => Json {
  return (message) => {
    const content = Object.fromEntries(Object.entries(message["content"] as Record<string, number>).map(([key, n]) => [key, n + by]));
    return { ...message, content };
  };
}

/** Each statement of an ingest, by its table: what is refused, and what is set aside for that. */
const STATEMENTS: readonly { table: string; when: string; aside: (n: number) => Aside[] }[] = [
  { table: "events", when: "new.event_id like '$bad%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "timeline", when: "new.event_id like '$bad%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "state", when: "new.event_id like '$bad%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "members", when: "new.user_id like '@bad%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "rooms", when: "new.room_id like '!bad:%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "room_facts", when: "new.room_id like '!bad:%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "standings", when: "new.room_id like '!bad:%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "typing", when: "new.room_id like '!bad:%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "receipts", when: "new.user_id like '@bad%'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "account_data", when: "new.type = 'bad.room'", aside: () => [{ kind: "room", name: BAD }] },
  { table: "account_data", when: "new.type = 'bad.global'", aside: () => [{ kind: "account_data", name: "bad.global" }] },
  { table: "presence", when: "new.user_id like '@bad%'", aside: () => [{ kind: "presence", name: "@bad:test" }] },
  { table: "invites", when: "new.room_id like '!bad-invite%'", aside: (n) => [{ kind: "room", name: `!bad-invite${n}:test` }] },
  { table: "device_lists", when: "new.user_id like '@bad%'", aside: (n) => [{ kind: "device_list", name: `@bad${n}:test` }] },
  // Messages are stored as bytes, and are sent nevertheless.
  { table: "to_device", when: "new.body like '%@bad%'", aside: () => [] },
];

/** One code of each SQLSTATE class that does not show what the database needs. */
const CODES = ["0A000", "21000", "22021", "23505", "24000", "26000", "2BP01", "38000", "39000", "42703", "42883", "44000", "53400", "54000", "54023"];
const CODES_TOO = ["55000", "57014", "F0000", "HV000", "P0001", "XX000", "XX001", "XX002"];

describe("N3: only what cannot be stored is set aside", () => {
  test.each(STATEMENTS)("refused by $table where $when", async ({ table, when, aside }) => {
    const me = await account();
    await refuse(db.sql, { table, when, code: "P0001" });
    const result = await me.feed(everything(me.me));
    expect(await asides(me)).toEqual(aside(messages));
    await expectTheRest(me, result);
    // The next answer is stored completely once nothing is refused any more.
    await stopRefusing(db.sql);
    expect(await me.feed(everything(me.me))).toMatchObject({ kind: "stored", setAside: null });
  });

  test.each([...CODES, ...CODES_TOO])("whatever the SQLSTATE: %s", async (code) => {
    const me = await account();
    await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code });
    const result = await me.feed(everything(me.me));
    expect(result).toMatchObject({ setAside: { rooms: [BAD], parts: 1 } });
    expect(await asides(me)).toEqual([{ kind: "room", name: BAD }]);
    await expectTheRest(me, result);
  });

  test("its text is saved as the homeserver sent it, the error without any content; the room has a gap and is queued to be read again", async () => {
    const me = await account();
    await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code: "23505" });
    const answer = everything(me.me);
    await me.feed(answer);
    const [row] = await db.sql<{ error: string; body: Buffer }[]>`select error, body from poison where account = ${me.account}`;
    expect(row?.error).toMatch(/^23505 insert into timeline/);
    expect(row?.error).not.toContain("bad");
    const saved = cutResponse(gunzipSync(row?.body ?? "").toString("utf8"), 0);
    expect([...saved.join.keys()]).toEqual([BAD]);
    expect(saved.join.get(BAD as RoomId)?.timeline.map((event) => event.event_id)).toEqual([`$bad-message${messages}`, `$bad-name${messages}`]);
    expect(await db.sql`select kind, name, cause from rereads where account = ${me.account}`).toEqual([
      { kind: "room", name: BAD, cause: "set_aside" },
    ]);
    expect(await me.room(BAD)).toMatchObject({ pending_gap: true });
    await stopRefusing(db.sql);
    await me.step({ join: { [BAD]: { timeline: [ev.message(me.me)] } } });
    expect((await me.timeline(BAD)).at(-1)).toMatchObject({ gap: true });
  });

  test("nothing of it remains once the user has forgotten the room", async () => {
    const me = await account();
    await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code: "23505" });
    await me.feed(everything(me.me));
    await forgetRoom(db.sql, me.account, BAD as RoomId);
    expect(await asides(me)).toEqual([]);
    expect(await db.sql`select from rereads where account = ${me.account}`).toHaveLength(0);
  });

  test("several bad rooms among many, and a bad message beside them", async () => {
    const me = await account();
    const ids = Array.from({ length: 40 }, (_, n) => `!${n % 9 === 4 ? "bad" : "good"}-many${n}:test`);
    await refuse(db.sql, { table: "rooms", when: "new.room_id like '!bad%'", code: "54000" });
    await refuse(db.sql, { table: "to_device", when: "new.body like '%@bad%'", code: "54000" });
    const join = Object.fromEntries(ids.map((id) => [id, { timeline: newRoom(me.me) }]));
    await me.feed({ join, to_device: [toDevice("@bad:test"), toDevice("@good:test")] });
    const bad = ids.filter((id) => id.startsWith("!bad"));
    expect(await asides(me)).toEqual(bad.toSorted().map((name) => ({ kind: "room", name })));
    const stored = await db.sql<{ room_id: string }[]>`select room_id from room_facts where account = ${me.account} and room_id like '%many%'`;
    expect(new Set(stored.map(({ room_id }) => room_id))).toEqual(new Set(ids.filter((id) => !bad.includes(id))));
    expect((await readToDevice(db.sql, me.device, 0, 9)).map(({ body }) => (JSON.parse(body) as Json)["sender"])).toEqual([
      "@bad:test",
      "@good:test",
    ]);
  });

  test("the same answer again changes nothing", async () => {
    const me = await account();
    await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code: "22000" });
    const since = me.since;
    const text = JSON.stringify({
      next_batch: "again",
      rooms: { join: { [BAD]: { timeline: { events: [ev.message(me.me, "", { event_id: "$bad-again" })] } } } },
    });
    await me.feed(text);
    const before = [await me.dump(), await asides(me)];
    expect(await me.feed(text, { accountSince: since, deviceSince: since })).toEqual({ kind: "stale" });
    expect([await me.dump(), await asides(me)]).toEqual(before);
  });

  test("after a lost since, a room that is set aside is not taken for one that was left", async () => {
    const me = await account();
    await db.sql`update accounts set since = null where account = ${me.account}`;
    await db.sql`update devices set since = null where account = ${me.account}`;
    me.since = null;
    await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code: "22000" });
    await me.feed({ join: { [GOOD]: { state: newRoom(me.me) }, [BAD]: { timeline: [ev.message(me.me, "", { event_id: "$bad-lost" })] } } });
    expect((await me.facts(BAD)).membership).toBe("join");
  });
});

describe("N3: nothing is blamed without proof", () => {
  test.each([
    ["accounts", "since alone cannot be stored"],
    ["devices", "neither can a device's"],
  ])("%s: %s", async (table) => {
    const me = await account();
    const before = await me.dump();
    await refuse(db.sql, { table, when: "true", code: "23514", on: "update" });
    await expect(me.feed(everything(me.me))).rejects.toMatchObject({ code: "23514" });
    expect(await me.dump()).toEqual(before);
    expect(await asides(me)).toEqual([]);
    await stopRefusing(db.sql);
    messages -= 1;
    await expectTheRest(me, await me.feed(everything(me.me)));
  });

  test.each(["08006", "25006", "40001", "42501", "53100", "53300", "55P03", "57P01", "57P03", "58030"])(
    "what the database needs is waited for: %s",
    async (code) => {
      const me = await account();
      const before = await me.dump();
      await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code });
      await expect(me.feed(everything(me.me))).rejects.toMatchObject({ code });
      expect(await me.dump()).toEqual(before);
      expect(await asides(me)).toEqual([]);
    },
  );

  test("an answer is blamed after three tries and the minimum time, not before", async () => {
    users += 1;
    const ingester = new Ingester({ sql: db.sql, suspects: { patienceMs: 0 } });
    const me = await TestAccount.create(db.sql, `@me${users}:test`, ingester);
    await me.step({});
    await refuse(db.sql, { table: "timeline", when: "new.event_id like '$bad%'", code: "22000" });
    const answer = everything(me.me);
    await expect(me.feed(answer)).rejects.toMatchObject({ code: "22000" });
    await expect(me.feed(answer)).rejects.toMatchObject({ code: "22000" });
    expect(await me.feed(answer)).toMatchObject({ kind: "stored", setAside: { rooms: [BAD] } });
    const patient = await TestAccount.create(db.sql, `@me${users}-patient:test`, new Ingester({ sql: db.sql }));
    await patient.step({});
    for (let tries = 0; tries < 5; tries += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect(patient.feed(answer)).rejects.toMatchObject({ code: "22000" });
    }
  });
});
