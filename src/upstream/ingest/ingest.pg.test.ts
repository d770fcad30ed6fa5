import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { freshDatabase } from "../../../test/support/database.ts";
import type { TestDatabase } from "../../../test/support/database.ts";
import { ev, newRoom, toDevice, v2 } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import { BadResponse } from "../../wire/v2-response.ts";
import { Ingester } from "./ingest.ts";

let db: TestDatabase;
let users = 0;
const ROOM = "!a:test";

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(async () => {
  await db.drop();
});

function account(): Promise<TestAccount> {
  users += 1;
  return TestAccount.create(db.sql, `@me${users}:test`);
}

describe("one response is one step", () => {
  test("the first response sets position, since of account and device, complete, and is news", async () => {
    const me = await account();
    const result = await me.feed({ join: { [ROOM]: { timeline: newRoom(me.me) } }, to_device: [toDevice("@bob:test")] });
    expect(result).toMatchObject({ kind: "stored", nextBatch: "s1", toDevice: true });
    if (result.kind !== "stored") return;
    expect(result.news.kinds).toEqual(new Set(["timeline", "state", "members", "facts", "to_device", "complete"]));
    expect(result.news.rooms).toEqual(new Set([ROOM]));
    const [row] = await db.sql`select position, since, complete from accounts where account = ${me.account}`;
    expect(row).toEqual({ position: result.position, since: "s1", complete: true });
    const [device] = await db.sql`select since, seq from devices where device = ${me.device}`;
    expect(device).toEqual({ since: "s1", seq: 1 });
    // Four events and the facts.
    expect(result.position).toBe(5);
  });

  test("without news since moves and the position does not", async () => {
    const me = await account();
    const before = await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const result = await me.feed({});
    expect(result).toMatchObject({ kind: "stored", position: before, toDevice: false });
    if (result.kind === "stored") expect(result.news.kinds.size).toBe(0);
    const [row] = await db.sql`select since from accounts where account = ${me.account}`;
    expect(row).toEqual({ since: "s2" });
  });

  test("the same response again is stale, and changes nothing (B8, invariant 8)", async () => {
    const me = await account();
    const text = JSON.stringify(v2({ next_batch: "n1", join: { [ROOM]: { timeline: newRoom(me.me) } }, to_device: [toDevice("@bob:test")] }));
    const input = me.input(text);
    await new Ingester({ sql: db.sql }).ingest(input);
    const before = await me.dump();
    expect(await new Ingester({ sql: db.sql }).ingest(input)).toEqual({ kind: "stale" });
    expect(await me.dump()).toEqual(before);
  });

  test("of two writers with the same since one is stale (TestAccumulatorConcurrency)", async () => {
    const me = await account();
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const texts = ["a", "b"].map((next) => JSON.stringify(v2({ next_batch: next, join: { [ROOM]: { timeline: [ev.message("@bob:test")] } } })));
    const results = await Promise.all(texts.map((text) => new Ingester({ sql: db.sql }).ingest(me.input(text))));
    expect(results.map((result) => result.kind).sort()).toEqual(["stale", "stored"]);
    expect(await me.ids(ROOM)).toHaveLength(5);
  });

  test("accounts that share rooms store the same events concurrently, in any order, without deadlock", async () => {
    const rooms = Array.from({ length: 6 }, (_, n) => ({
      id: `!shared${n}:test`,
      timeline: Array.from({ length: 5 }, () => ev.message("@bob:test")),
    }));
    const accounts = await Promise.all(Array.from({ length: 8 }, () => account()));
    const feeds = accounts.map((each, n) => {
      const order = [...rooms.slice(n % 6), ...rooms.slice(0, n % 6)];
      return each.feed({ join: Object.fromEntries(order.map((room) => [room.id, { state: [], timeline: room.timeline }])) });
    });
    expect((await Promise.all(feeds)).map((result) => result.kind)).toEqual(accounts.map(() => "stored"));
    const [row] =
      await db.sql`select count(*) as n from events where event_id = any(${rooms.flatMap((room) => room.timeline.map((each) => each.event_id))})`;
    expect(row).toEqual({ n: 30 });
  });

  test("a changed since of the device, or a deleted account or device, is stale", async () => {
    const me = await account();
    const text = JSON.stringify(v2({ next_batch: "n1" }));
    expect(await new Ingester({ sql: db.sql }).ingest(me.input(text, { deviceSince: "x" }))).toEqual({ kind: "stale" });
    expect(await new Ingester({ sql: db.sql }).ingest(me.input(text, { device: -1 as typeof me.device }))).toEqual({ kind: "stale" });
    expect(await new Ingester({ sql: db.sql }).ingest(me.input(text, { account: -1 as typeof me.account }))).toEqual({ kind: "stale" });
  });

  test("the lease's epoch: ours is stored, another's and an expired one are stale", async () => {
    const me = await account();
    await db.sql`insert into leases (account, owner, epoch, expires_at) values (${me.account}, 'x', 7, now() + interval '10 s')`;
    expect((await me.feed({}, { epoch: 6 })).kind).toBe("stale");
    expect((await me.feed({}, { epoch: 7 })).kind).toBe("stored");
    await db.sql`update leases set expires_at = now() - interval '1 ms' where account = ${me.account}`;
    expect((await me.feed({}, { epoch: 7 })).kind).toBe("stale");
  });

  test("a device that polls without rooms stores only its own part, whatever the account's since", async () => {
    const me = await account();
    const position = await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const result = await me.feed(
      { join: { [ROOM]: { timeline: [ev.message("@bob:test")] } }, to_device: [toDevice("@bob:test")] },
      { rooms: false, accountSince: null },
    );
    expect(result).toMatchObject({ kind: "stored", position, toDevice: true });
    const [row] =
      await db.sql`select a.since as account, d.since as device from accounts a join devices d using (account) where account = ${me.account}`;
    expect(row).toEqual({ account: "s1", device: "s2" });
    expect(await me.ids(ROOM)).toHaveLength(4);
  });

  test("a text that is not a response is an error, and nothing is written (TestPollerResendsOnCallbackError)", async () => {
    const me = await account();
    await me.step({});
    const before = await me.dump();
    await expect(me.feed('{"next_batch":"x","rooms":{')).rejects.toThrow(BadResponse);
    await expect(me.feed("[]")).rejects.toThrow(BadResponse);
    expect(await me.dump()).toEqual(before);
  });
});

describe("content that cannot be stored", () => {
  test("bad room data does not drop to-device messages (TestBadPollDataDoesntDropToDeviceMsgs)", async () => {
    const me = await account();
    const response = { ...v2({ next_batch: "n", to_device: [toDevice("@bob:test")] }), rooms: { join: { [ROOM]: { timeline: "no", state: 7 } } } };
    expect(await me.feed(JSON.stringify(response))).toMatchObject({ kind: "stored", toDevice: true });
    const [row] = await db.sql`select count(*) as n from to_device where device = ${me.device}`;
    expect(row).toEqual({ n: 1 });
  });

  test("NUL and lone surrogates in contents, names, ids (TestEventTableNullValue, B37)", async () => {
    const me = await account();
    const bad = ev.message("@bob:test", "x", { event_id: "$a\u0000b" });
    const text = JSON.stringify(
      v2({
        next_batch: "n",
        join: {
          [ROOM]: {
            state: newRoom(me.me),
            timeline: [
              ev.message("@bob:test", "nul \u0000 and \ud800"),
              bad,
              ev.member("@bob:test", "join", { displayname: "B\u0000b\ud800" }),
              ev.name(me.me, "name\u0000\udc00"),
            ],
            account_data: [{ type: "m.tag", content: { tags: { "u.\u0000": {} } } }],
          },
        },
      }),
    );
    expect(await me.feed(text)).toMatchObject({ kind: "stored" });
    expect(await me.ids(ROOM)).toHaveLength(4);
    expect((await me.facts(ROOM)).name).toBe("name\u0000\ufffd");
  });

  test("an unreachable database is an error", async () => {
    const me = await account();
    await db.sql`alter table presence rename to presence_away`;
    try {
      await expect(me.feed({ presence: [{ type: "m.presence", sender: "@bob:test", content: {} }] })).rejects.toMatchObject({ code: "42P01" });
    } finally {
      await db.sql`alter table presence_away rename to presence`;
    }
  });
});
