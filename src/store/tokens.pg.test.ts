import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { SecretBox } from "../base/secret-box.ts";
import type { UserId } from "../wire/ids.ts";
import { deleteAccount, deleteDevice, findAccount, findDevice, liveDevices, pollState, resetDevice } from "./devices.ts";
import { findToken, markDead, markVerified, newestLiveToken, openToken, registerToken, sealToken } from "./tokens.ts";

let db: TestDatabase;
const box = new SecretBox("a secret of the test");
const alice = "@alice:test" as UserId;
const MONTH = 30 * 24 * 3_600_000;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
});

const register = (token: string, deviceId = "PHONE", userId = alice) => registerToken(db.sql, { ...sealToken(box, token), userId, deviceId });

describe("registerToken", () => {
  test("creates account, device and token once, whatever is repeated", async () => {
    const first = await register("one");
    expect(await register("one")).toEqual(first);
    const refreshed = await register("two");
    expect(refreshed).toEqual(first);
    const laptop = await register("three", "LAPTOP");
    expect(laptop.account).toBe(first.account);
    expect(laptop.device).not.toBe(first.device);
    expect(await findDevice(db.sql, alice, "LAPTOP")).toEqual(laptop);
    expect(await findAccount(db.sql, alice)).toBe(first.account);
    expect(await findAccount(db.sql, "@nobody:test" as UserId)).toBeNull();
  });

  test("works concurrently", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => register(`t${index % 5}`, `D${index % 2}`)));
    expect(new Set(all.map((one) => one.account)).size).toBe(1);
    expect(new Set(all.map((one) => one.device)).size).toBe(2);
  });

  test("the token can be recovered, but not under another secret", async () => {
    await register("secret-token");
    const row = await findToken(db.sql, box.hashToken("secret-token"));
    expect(row).toMatchObject({ userId: alice, deviceId: "PHONE", deadAt: null, softLogout: false });
    if (row) expect(openToken(box, row)).toBe("secret-token");
    if (row) expect(() => openToken(new SecretBox("another"), row)).toThrow();
    const raw = JSON.stringify(await db.sql`select encode(ciphertext, 'escape') as c, encode(token_hash, 'escape') as h from tokens`);
    expect(raw).not.toContain("secret-token");
  });
});

describe("dead and alive", () => {
  test("the newest live token is found until it is dead; registering it again revives it", async () => {
    const { device } = await register("old");
    await register("new");
    const text = async () => {
      const sealed = await newestLiveToken(db.sql, device);
      return sealed && openToken(box, sealed);
    };
    expect(await text()).toBe("new");
    await markDead(db.sql, box.hashToken("new"), true);
    expect(await text()).toBe("old");
    expect(await findToken(db.sql, box.hashToken("new"))).toMatchObject({ deadAt: expect.any(Date), softLogout: true });
    await markDead(db.sql, box.hashToken("old"), false);
    expect(await text()).toBeNull();
    await register("new");
    expect(await text()).toBe("new");
    expect(await findToken(db.sql, box.hashToken("new"))).toMatchObject({ deadAt: null, softLogout: false });
  });

  test("verified_at only moves forward, and never for a dead token", async () => {
    await register("live");
    await register("dead");
    await markDead(db.sql, box.hashToken("dead"), false);
    await db.sql`update tokens set verified_at = now() - interval '1 hour'`;
    await markVerified(
      db.sql,
      ["live", "dead"].map((token) => ({ tokenHash: box.hashToken(token), agoMs: 5000 })),
    );
    await markVerified(db.sql, [{ tokenHash: box.hashToken("live"), agoMs: 50_000 }]);
    const age = async (token: string) => {
      const [row] = await db.sql<
        { age: number }[]
      >`select extract(epoch from now() - verified_at)::float as age from tokens where token_hash = ${box.hashToken(token)}`;
      return row?.age;
    };
    expect(await age("live")).toBeCloseTo(5, 0);
    expect(await age("dead")).toBeGreaterThan(3500);
  });
});

describe("devices", () => {
  test("liveDevices: newest token first, with presence and whether the device can continue without a take-over; only accounts seen lately", async () => {
    const phone = await register("a");
    const laptop = await register("b", "LAPTOP");
    await register("c", "DEAD");
    await markDead(db.sql, box.hashToken("c"), false);
    const { account } = phone;
    await db.sql`update accounts set since = 's7'`;
    await db.sql`update devices set since = 's7' where device = ${phone.device}`;
    expect(await liveDevices(db.sql, [account], MONTH)).toEqual([
      { account, device: laptop.device, current: false, presence: false, threads: false },
      { account, device: phone.device, current: true, presence: false, threads: false },
    ]);
    await db.sql`insert into sessions (account, device, kind, presence) values (${account}, ${phone.device}, 'v3', true)`;
    expect((await liveDevices(db.sql, [account], MONTH)).every((one) => one.presence)).toBe(true);
    await db.sql`update devices set seen_at = now() - interval '31 days' where device = ${laptop.device}`;
    expect((await liveDevices(db.sql, [account], MONTH)).map((one) => one.device)).toEqual([phone.device]);
    await db.sql`update devices set seen_at = now() - interval '31 days'`;
    expect(await liveDevices(db.sql, [account], MONTH)).toEqual([]);
    expect(await liveDevices(db.sql, [], MONTH)).toEqual([]);
  });

  test("resetDevice resets the device's since and ends only its sessions", async () => {
    const phone = await register("a");
    const laptop = await register("b", "LAPTOP");
    await db.sql`update devices set since = 's1'`;
    for (const one of [phone, laptop]) await db.sql`insert into sessions (account, device, kind) values (${one.account}, ${one.device}, 'v3')`;
    await resetDevice(db.sql, phone.device);
    expect((await pollState(db.sql, phone.device))?.deviceSince).toBeNull();
    expect((await pollState(db.sql, laptop.device))?.deviceSince).toBe("s1");
    expect(await db.sql`select device from sessions`).toEqual([{ device: laptop.device }]);
  });

  test("B11: deleting a device removes its rows, and the last device the account", async () => {
    const phone = await register("a");
    const laptop = await register("b", "LAPTOP");
    const { account } = phone;
    await db.sql`insert into to_device (device, seq, before_pos, body, hash) values (${phone.device}, 1, 0, '{}', 'x')`;
    await db.sql`insert into typing (account, room_id, users, ord) values (${account}, '!a:test', '[]', 1)`;
    expect(await deleteDevice(db.sql, phone.device)).toEqual({ account, accountDeleted: false });
    expect(await db.sql`select 1 from to_device`).toHaveLength(0);
    expect(await findToken(db.sql, box.hashToken("a"))).toBeNull();
    expect(await db.sql`select 1 from typing`).toHaveLength(1);
    expect(await deleteDevice(db.sql, phone.device)).toBeNull();
    expect(await deleteDevice(db.sql, laptop.device)).toEqual({ account, accountDeleted: true });
    expect(await db.sql`select 1 from typing`).toHaveLength(0);
    expect(await findAccount(db.sql, alice)).toBeNull();
  });

  test("deleteAccount leaves no row with the account's number in any table", async () => {
    const { account, device } = await register("a");
    await db.sql`insert into timeline (account, ord, room_id, event_id) values (${account}, 1, '!a:test', '$1')`;
    await db.sql`insert into leases (account, owner, epoch, expires_at) values (${account}, 'x', 1, now())`;
    await db.sql`insert into sessions (account, device, kind) values (${account}, ${device}, 'v3')`;
    await deleteAccount(db.sql, account);
    const tables = await db.sql<
      { name: string }[]
    >`select table_name as name from information_schema.columns where column_name = 'account' and table_schema = 'public'`;
    expect(tables.length).toBeGreaterThan(15);
    for (const { name } of tables) expect(await db.sql`select 1 from ${db.sql(name)} where account = ${account}`, name).toHaveLength(0);
  });
});
