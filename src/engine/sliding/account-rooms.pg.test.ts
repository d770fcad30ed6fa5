import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, newRoom, type RoomParts } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import { type Db, readTx, type Tx } from "../../store/db.ts";
import { forgetRoom } from "../../store/forget.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { type AccountRooms, AccountRoomsCache } from "./account-rooms.ts";

const ALICE = "@alice:test";
let db: TestDatabase;
let count = 0;
let a: TestAccount;
let cache: AccountRoomsCache;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  count += 1;
  a = await TestAccount.create(db.sql, `@me${count}:test`);
  cache = new AccountRoomsCache();
});

const room = (ts: number): RoomParts => ({ state: newRoom(ALICE), timeline: [ev.message(ALICE, "x", { origin_server_ts: ts })] });

type Head = { position: Position; forgotten: number };

/** The account's position and count of forgotten rooms as a transaction sees them. */
async function headOf(tx: Db): Promise<Head | null> {
  const [at] = await tx<Head[]>`select position, forgotten from accounts where account = ${a.account}`;
  return at ?? null;
}

/** As an evaluation reads. */
async function readIn(tx: Tx, from: AccountRoomsCache, head: Promise<Head | null>): Promise<AccountRooms> {
  const rooms = await from.read(tx, a.account, head);
  if (!rooms) throw new Error("there is no account");
  return rooms;
}

async function read(from = cache): Promise<AccountRooms> {
  return readTx(db.sql, (tx) => readIn(tx, from, headOf(tx)));
}
const order = (rooms: AccountRooms) => rooms.sorted.map((one) => one.roomId);

describe("an account's rooms in memory", () => {
  it("M10: are brought up to date by what changed, in order, and are what is read afresh", async () => {
    await a.step({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    expect(order(await read())).toEqual(["!b:test", "!a:test"]);
    await a.step({ join: { "!a:test": { timeline: [ev.name(ALICE, "A")] }, "!c:test": room(500) } });
    const now = await read();
    expect(order(now)).toEqual(["!a:test", "!c:test", "!b:test"]);
    expect(now.byId.get("!a:test" as RoomId)?.facts.name).toBe("A");
    const fresh = await read(new AccountRoomsCache());
    expect(now.sorted).toEqual(fresh.sorted);
    expect(now.position).toBe(fresh.position);
  });

  it("M5: a version never changes, and is the same one while nothing happens", async () => {
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

  it("M5: nor does one from before a room was forgotten bring it back", async () => {
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

  it("M62: of one account none are another's", async () => {
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
