import { afterAll, beforeAll, expect, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { readAccountStatus } from "./account-status.ts";
import { noteTrouble } from "./poll-troubles.ts";
import { readStalls } from "./stalls.ts";
import type { AccountNo } from "../wire/ids.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

type Made = { readonly polled?: string | null; readonly complete?: boolean; readonly dead?: boolean; readonly seen?: string };

let made = 0;
async function account({ polled = null, complete = true, dead = false, seen = "0 s" }: Made): Promise<AccountNo> {
  made += 1;
  const [row] = await db.sql<{ account: AccountNo }[]>`
    insert into accounts (user_id, complete, seen_at, created_at) values (${`@u${made}:test`}, ${complete}, now() - ${seen}::interval, now() - interval '60 days')
    returning account`;
  const { account: no } = row ?? { account: 0 as AccountNo };
  const [device] = await db.sql<{ device: number }[]>`insert into devices (account, device_id) values (${no}, 'D') returning device`;
  await db.sql`
    insert into tokens (token_hash, device, account, ciphertext, dead_at)
    values (${Buffer.from(`t${made}`)}, ${device?.device ?? 0}, ${no}, '', ${dead ? new Date() : null})`;
  if (polled !== null) {
    await db.sql`insert into leases (account, owner, epoch, expires_at, polled_at) values (${no}, 'x', 1, now(), now() - ${polled}::interval)`;
  }
  return no;
}

test("N7: reports the account that should advance and has not for longest, and counts the others by reason", async () => {
  await account({ polled: "20 s" });
  expect(await readStalls(db.sql)).toMatchObject({ accounts: new Map() });
  const stuck = await account({ polled: "20 min" });
  await noteTrouble(db.sql, stuck, "rate_limited", "");
  await account({ polled: "15 min" });
  await account({ polled: "40 days", dead: true });
  await account({ polled: "40 days", seen: "31 days" });
  await account({ complete: false });
  // It waits for its sync from scratch (T3).
  await db.sql`update accounts set restored = true where account = ${await account({ polled: "30 min" })}`;
  const { oldest, accounts } = await readStalls(db.sql);
  expect(Math.round(oldest / 60)).toBe(20);
  expect(accounts).toEqual(
    new Map([
      ["rate_limited", 1],
      ["unknown", 1],
      ["logged_out", 1],
      ["idle", 1],
      ["first_sync", 2],
    ]),
  );
});

test("N7: the account's status reports that its polls fail, and since when, until one succeeds", async () => {
  const no = await account({ polled: "1 min" });
  const trouble = async () => (await readAccountStatus(db.sql, no))?.trouble;
  expect(await trouble()).toBeNull();
  await noteTrouble(db.sql, no, "unreachable", "");
  const first = await trouble();
  expect(first?.reason).toBe("unreachable");
  await noteTrouble(db.sql, no, "timed_out", "");
  expect(await trouble()).toEqual({ reason: "timed_out", since: first?.since });
  await db.sql`update leases set polled_at = now() + interval '1 s' where account = ${no}`;
  expect(await trouble()).toBeNull();
});
