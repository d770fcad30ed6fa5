import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, newRoom, receipt, type RoomParts, typing } from "../../test/support/events.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import { type Db, readTx, type Tx } from "../store/db.ts";
import { forgetRoom } from "../store/forget.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import { type AccountView, AccountViews, changedAfter } from "./account-view.ts";

const ALICE = "@alice:test";
let db: TestDatabase;
let count = 0;
let a: TestAccount;
let cache: AccountViews;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  count += 1;
  a = await TestAccount.create(db.sql, `@me${count}:test`);
  cache = new AccountViews();
});

const room = (ts: number): RoomParts => ({ state: newRoom(ALICE), timeline: [ev.message(ALICE, "x", { origin_server_ts: ts })] });

type Head = { position: Position; forgotten: number };

/** The account's position and count of forgotten rooms as a transaction sees them. */
async function headOf(tx: Db): Promise<Head | null> {
  const [at] = await tx<Head[]>`select position, forgotten from accounts where account = ${a.account}`;
  return at ?? null;
}

/** As an evaluation reads. */
async function readIn(tx: Tx, from: AccountViews, head: Promise<Head | null>, since: Position | 0 = 0): Promise<AccountView> {
  const rooms = await from.read(tx, a.account, head, since);
  if (!rooms) throw new Error("there is no account");
  return rooms;
}

async function read(from = cache, since: Position | 0 = 0): Promise<AccountView> {
  return readTx(db.sql, (tx) => readIn(tx, from, headOf(tx), since));
}
const order = (rooms: AccountView) => rooms.sorted.map((one) => one.roomId);

describe("an account's rooms in memory", () => {
  it("M10: are brought up to date by what changed, in order, and are what is read afresh", async () => {
    await a.step({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    expect(order(await read())).toEqual(["!b:test", "!a:test"]);
    await a.step({ join: { "!a:test": { timeline: [ev.name(ALICE, "A")] }, "!c:test": room(500) } });
    const now = await read();
    expect(order(now)).toEqual(["!a:test", "!c:test", "!b:test"]);
    expect(now.byId.get("!a:test" as RoomId)?.facts.name).toBe("A");
    const fresh = await read(new AccountViews());
    expect(now.sorted).toEqual(fresh.sorted);
    expect(now.position).toBe(fresh.position);
  });

  it("M5: a version never changes, and stays the same object while nothing happens", async () => {
    await a.step({ join: { "!a:test": room(1000) } });
    const first = await read();
    expect(await read()).toBe(first);
    await a.step({ join: { "!b:test": room(2000) } });
    await read();
    expect(order(first)).toEqual(["!a:test"]);
    expect(first.byId.size).toBe(1);
  });

  it("M9: a forgotten room is gone, also where nothing else happened", async () => {
    await a.step({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    await read();
    await forgetRoom(db.sql, a.account, "!b:test" as RoomId);
    expect(order(await read())).toEqual(["!a:test"]);
    await a.step({ join: { "!b:test": room(3000) } });
    expect(order(await read())).toEqual(["!b:test", "!a:test"]);
  });

  it("M5: an evaluation of an earlier moment sees that moment, and does not spoil the later one", async () => {
    await a.step({ join: { "!a:test": room(1000) } });
    const early = await readTx(db.sql, async (tx) => {
      const at = await headOf(tx);
      await a.step({ join: { "!b:test": room(2000) } });
      const late = await read();
      expect(order(late)).toEqual(["!b:test", "!a:test"]);
      return readIn(tx, cache, Promise.resolve(at));
    });
    expect(order(early)).toEqual(["!a:test"]);
    expect(order(await read())).toEqual(["!b:test", "!a:test"]);
    await a.step({ join: { "!a:test": { timeline: [ev.message(ALICE)] } } });
    expect(order(await read())).toEqual(["!a:test", "!b:test"]);
  });

  it("M5: an evaluation from before a room was forgotten does not bring it back", async () => {
    await a.step({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    await readTx(db.sql, async (tx) => {
      const at = await headOf(tx);
      await forgetRoom(db.sql, a.account, "!b:test" as RoomId);
      expect(order(await read())).toEqual(["!a:test"]);
      expect(order(await readIn(tx, cache, Promise.resolve(at)))).toEqual(["!b:test", "!a:test"]);
    });
    expect(order(await read())).toEqual(["!a:test"]);
    await a.step({ join: { "!c:test": room(3000) } });
    expect(order(await read())).toEqual(["!c:test", "!a:test"]);
  });

  it("M58 M60: account data and typing are those that are stored, and which rooms have changes is known", async () => {
    const [ROOM, OTHER] = ["!a:test" as RoomId, "!b:test" as RoomId];
    const tag = (n: number) => ({ type: "m.tag", content: { tags: { "u.x": { order: n } } } });
    const global = (n: number) => ({ type: "m.direct", content: { n } });
    await a.step({ join: { [ROOM]: { ...room(1000), account_data: [tag(1)] }, [OTHER]: room(2000) }, account_data: [global(1)] });
    const first = await read();
    await a.step({
      join: { [ROOM]: { account_data: [tag(2)], ephemeral: [typing(ALICE)] }, [OTHER]: { ephemeral: [receipt("$x", ALICE)] } },
      account_data: [global(2), { type: "m.other", content: {} }],
    });
    const now = await read();
    for (const view of [now, await read(new AccountViews())]) {
      expect(view.data.get(ROOM)?.map((row) => JSON.parse(row.body))).toEqual([tag(2)]);
      expect(view.data.get("")?.map((row) => JSON.parse(row.body))).toEqual([global(2), { type: "m.other", content: {} }]);
      expect(view.typing.get(ROOM)?.users).toBe(JSON.stringify([ALICE]));
    }
    expect(first.data.get("")?.map((row) => JSON.parse(row.body))).toEqual([global(1)]);
    const changed = { typing: new Set([ROOM]), accountData: new Set([ROOM]), receipts: new Set([OTHER]) };
    expect(changedAfter(now, first.position)).toEqual(changed);
    expect(changedAfter(now, now.position)).toEqual({ typing: new Set(), accountData: new Set(), receipts: new Set() });
    // A view that came later does not know of receipts, unless it is asked.
    const later = new AccountViews();
    expect(changedAfter(await read(later), first.position)).toBeNull();
    expect(changedAfter(await read(later, first.position), first.position)).toEqual(changed);
    expect(changedAfter(await read(later), first.position)).toEqual(changed);
  });

  it("M5: is cached for exactly one moment", async () => {
    await a.step({ join: { "!a:test": room(1000) } });
    const view = await read();
    const head = await headOf(db.sql);
    if (!head) throw new Error("there is no account");
    expect(cache.at(a.account, head)).toBe(view);
    expect(cache.at(a.account, { ...head, position: (head.position + 1) as Position })).toBeUndefined();
    expect(cache.at(a.account, { ...head, forgotten: head.forgotten + 1 })).toBeUndefined();
  });

  it("M62: an account's rooms are no other account's", async () => {
    await a.step({ join: { "!a:test": room(1000) } });
    await read();
    const first = a;
    a = await TestAccount.create(db.sql, `@other${count}:test`);
    await a.step({ join: { "!b:test": room(1000) } });
    expect(order(await read())).toEqual(["!b:test"]);
    a = first;
    expect(order(await read())).toEqual(["!a:test"]);
  });
});
