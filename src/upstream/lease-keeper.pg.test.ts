import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import type { DbOptions } from "../store/db.ts";
import { isLeaseHeld } from "../store/leases.ts";
import type { AccountNo } from "../wire/ids.ts";
import { Leases } from "./lease-keeper.ts";

let db: TestDatabase;
let accounts: AccountNo[];
let clock: number;
const MONTH = 30 * 24 * 3_600_000;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  clock = 1_000_000;
  await db.sql`delete from accounts`;
  const rows = await db.sql<
    { account: AccountNo }[]
  >`insert into accounts (user_id) select '@u' || n || ':test' from generate_series(1, 20) n returning account`;
  accounts = rows.map((row) => row.account);
  await db.sql`insert into devices (account, device_id) select account, 'D' from accounts`;
  await db.sql`insert into tokens (token_hash, device, account, ciphertext) select sha256(user_id::bytea), device, account, '' from devices join accounts using (account)`;
});

const owner = (ownerId: string, lockDb: DbOptions | null = null) => new Leases({ sql: db.sql, ownerId, lockDb, now: () => clock });
const expire = () => db.sql`update leases set expires_at = now() - interval '1 second'`;
const first = () => accounts[0] as AccountNo;

describe("claim", () => {
  test("concurrent owners share the accounts, and no account has two owners", async () => {
    const owners = [owner("a"), owner("b"), owner("c")];
    const claims = await Promise.all(Array.from({ length: 12 }, (_, index) => (owners[index % 3] ?? owner("d")).claim(MONTH, 5)));
    const all = claims.flat().map((lease) => lease.account);
    expect(new Set(all).size).toBe(all.length);
    await owners[0]?.claim(MONTH, 50);
    expect(
      owners
        .flatMap((one) => one.held())
        .map((lease) => lease.account)
        .toSorted((a, b) => a - b),
    ).toEqual(accounts.toSorted((a, b) => a - b));
  });

  test("a held account cannot be claimed; after its lease has expired exactly one owner can, and the epoch rises", async () => {
    const [a, b, c] = [owner("a"), owner("b"), owner("c")];
    expect(await a.claimOne(first())).toEqual({ account: first(), epoch: 1 });
    expect(await b.claimOne(first())).toBeNull();
    await expire();
    const claims = await Promise.all([b.claimOne(first()), c.claimOne(first())]);
    expect(claims.filter((lease) => lease !== null)).toEqual([{ account: first(), epoch: 2 }]);
    expect(await isLeaseHeld(db.sql, a.owner, { account: first(), epoch: 1 })).toBe(false);
    expect(await a.renew()).toEqual([first()]);
    expect(a.held()).toEqual([]);
  });

  test("only accounts with a live token and seen lately; a named account whenever it was seen", async () => {
    await db.sql`update accounts set seen_at = now() - interval '31 days' where account <> ${first()}`;
    const a = owner("a");
    expect((await a.claim(MONTH, 50)).map((lease) => lease.account)).toEqual([first()]);
    expect(await a.claimOne(accounts[1] as AccountNo)).not.toBeNull();
    await db.sql`update tokens set dead_at = now()`;
    expect(await a.claimOne(accounts[2] as AccountNo)).toBeNull();
  });
});

describe("renew", () => {
  test("extends held leases, also an expired one that no other owner took", async () => {
    const a = owner("a");
    await a.claim(MONTH, 50);
    await expire();
    expect(await a.renew()).toEqual([]);
    expect(await owner("b").claim(MONTH, 50)).toEqual([]);
  });

  test("writes what polling proved, with how long ago it was", async () => {
    const a = owner("a");
    await a.claimOne(first());
    await db.sql`update tokens set verified_at = now() - interval '1 day'`;
    const [token] = await db.sql<{ hash: Buffer }[]>`select token_hash as hash from tokens where account = ${first()}`;
    a.polled(first(), clock - 5000);
    a.proven(token?.hash as Buffer, clock - 7000);
    await a.renew();
    const [row] = await db.sql<{ polled: number; verified: number }[]>`
      select extract(epoch from now() - polled_at)::float as polled, extract(epoch from now() - verified_at)::float as verified from leases join tokens using (account)`;
    expect(row?.polled).toBeCloseTo(5, 0);
    expect(row?.verified).toBeCloseTo(7, 0);
    await db.sql`update leases set polled_at = null`;
    await a.renew();
    expect((await db.sql`select polled_at from leases`)[0]).toEqual({ polled_at: null });
  });

  test("a lease that could not be renewed for 9 s counts as lost here", async () => {
    const a = owner("a");
    await a.claimOne(first());
    clock += 8999;
    expect(a.fenced()).toEqual([]);
    clock += 2;
    expect(a.fenced()).toEqual([first()]);
    expect(a.held()).toEqual([]);
  });

  test("a deleted account is lost", async () => {
    const a = owner("a");
    await a.claimOne(first());
    await db.sql`delete from accounts where account = ${first()}`;
    expect(await a.renew()).toEqual([first()]);
  });
});

test("a report of a lost lease does not affect a later one with a higher epoch", async () => {
  const a = owner("a");
  await a.claimOne(first());
  await expire();
  await a.claimOne(first());
  a.forget({ account: first(), epoch: 1 });
  expect(a.held()).toEqual([{ account: first(), epoch: 2 }]);
  a.forget({ account: first(), epoch: 2 });
  expect(a.held()).toEqual([]);
});

test("released leases can be claimed at once", async () => {
  const a = owner("a");
  await a.claim(MONTH, 50);
  await a.close();
  expect(a.held()).toEqual([]);
  expect(await owner("b").claim(MONTH, 50)).toHaveLength(20);
});

describe("the owner's lock", () => {
  const killConnection = (of: Leases) => db.sql`
    select pg_terminate_backend(pid, 5000) from pg_locks
    where locktype = 'advisory' and objsubid = 1 and ((classid::bigint << 32) | objid::bigint) = hashtextextended(${of.owner}, 0)`;

  test("a dead process is noticed before its leases expire", async () => {
    const [a, b] = [owner("a", db.options), owner("b", db.options)];
    await a.claim(MONTH, 50);
    expect(await b.claim(MONTH, 50)).toEqual([]);
    await killConnection(a); // as the death of a process does
    expect(await b.claim(MONTH, 50)).toHaveLength(20);
    expect(await db.sql`select distinct epoch, owner from leases`).toEqual([{ epoch: 2, owner: b.owner }]);
    expect(await a.renew()).toHaveLength(20);
    await Promise.all([a.close(), b.close()]);
  });

  test("an owner whose connection broke takes its lock again and keeps what it has", async () => {
    const a = owner("a", db.options);
    await a.claimOne(first());
    await killConnection(a);
    // The first statement may still meet the broken connection.
    expect(await a.renew().catch(() => a.renew())).toEqual([]);
    const b = owner("b");
    expect(await b.claimOne(first())).toBeNull();
    await a.close();
    expect(await b.claimOne(first())).toMatchObject({ epoch: 2 });
  });

  test("an owner without a lock is not counted as dead", async () => {
    await owner("a").claim(MONTH, 50);
    expect(await owner("b").claim(MONTH, 50)).toEqual([]);
  });
});
