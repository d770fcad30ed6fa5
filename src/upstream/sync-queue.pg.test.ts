import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import type { AccountNo } from "../wire/ids.ts";
import { SyncQueue } from "./sync-queue.ts";

const NEVER = new AbortController().signal;

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

/** Syncs that last until they are ended by hand. */
class Syncs {
  readonly begun: number[] = [];
  readonly #ends = new Map<number, () => void>();

  run(queue: SyncQueue, account: number, signal = NEVER): Promise<void> {
    return queue.run(account as AccountNo, signal, () => {
      this.begun.push(account);
      return new Promise((resolve) => this.#ends.set(account, resolve));
    });
  }

  end(account: number): void {
    this.#ends.get(account)?.();
  }
}

test("T3: two syncs at a time over all processes, those of accounts with a client first", async () => {
  const present = new Set<number>();
  const queue = () => new SyncQueue({ sql: db.sql, isPresent: (account) => present.has(account) });
  const [here, there] = [queue(), queue()];
  const syncs = new Syncs();
  const all = [syncs.run(here, 1), syncs.run(there, 2)];
  await expect.poll(() => syncs.begun.toSorted((a, b) => a - b)).toEqual([1, 2]);
  all.push(syncs.run(here, 3), syncs.run(here, 4), syncs.run(here, 5));
  present.add(5);
  syncs.end(2);
  await expect.poll(() => syncs.begun.slice(2), { timeout: 10_000 }).toEqual([5]);
  syncs.end(1);
  await expect.poll(() => syncs.begun.slice(2), { timeout: 10_000 }).toEqual([5, 3]);
  for (const account of [5, 3]) syncs.end(account);
  await expect.poll(() => syncs.begun.slice(2), { timeout: 10_000 }).toEqual([5, 3, 4]);
  syncs.end(4);
  await Promise.all(all);
  expect(await db.sql`select from sync_slots where expires_at > now()`).toEqual([]);
});

test("T3: who stops waiting takes no place", async () => {
  const queue = new SyncQueue({ sql: db.sql, isPresent: () => false });
  const syncs = new Syncs();
  await db.sql`update sync_slots set expires_at = now() + interval '1 hour'`;
  const stop = new AbortController();
  const waiting = syncs.run(queue, 1, stop.signal);
  stop.abort(new Error("stopped"));
  await expect(waiting).rejects.toThrow("stopped");
  await db.sql`update sync_slots set expires_at = now()`;
  const other = syncs.run(queue, 2);
  await expect.poll(() => syncs.begun, { timeout: 10_000 }).toEqual([2]);
  syncs.end(2);
  await other;
});
