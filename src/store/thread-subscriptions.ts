/** The account's thread subscriptions (MSC4306): see upstream/thread-subscriptions.ts. */

import type { AccountNo, RoomId } from "../wire/ids.ts";
import type { ThreadChange } from "../wire/thread-subscriptions.ts";
import { type Db, type Sql, writeTx } from "./db.ts";
import { heldLeases, lockAccount } from "./ingest/device.ts";

/** The most that are stored of an account; beyond that those that changed longest ago are dropped. */
const MAX_THREADS = 20_000;

/** Where the homeserver's sliding sync continues; null: from scratch. */
export async function threadsPos(db: Db, account: AccountNo): Promise<string | null> {
  const [row] = await db<{ threads_pos: string | null }[]>`select threads_pos from accounts where account = ${account}`;
  return row?.threads_pos ?? null;
}

/** The next question is about everything. What is stored stays, to be compared with the answer. */
export async function forgetThreadsPos(db: Db, account: AccountNo): Promise<void> {
  await db`update accounts set threads_pos = null where account = ${account}`;
}

export type ThreadsAnswer = {
  readonly account: AccountNo;
  /** Of the account's lease. */
  readonly epoch: number;
  /** threads_pos when the homeserver was asked. */
  readonly asked: string | null;
  /** The answer's. */
  readonly pos: string;
  /** In the order in which they changed, each thread once. */
  readonly changes: readonly ThreadChange[];
  /** Where the homeserver has those that are too many; null: there are none. */
  readonly rest: string | null;
};

/** How many of the changes were new. "stale": the account is polled by somebody else by now. */
export function storeThreads(sql: Sql, { account, epoch, asked, pos, changes, rest }: ThreadsAnswer): Promise<number | "stale"> {
  return writeTx(sql, async (tx) => {
    const known = await lockAccount(tx, account);
    if (!known || (await threadsPos(tx, account)) !== asked || !(await heldLeases(tx, [{ account, epoch }])).has(account)) return "stale";
    const written = await tx`
      insert into thread_subscriptions (account, room_id, thread_root, subscribed, change, ord)
      select ${account}, room_id, thread_root, subscribed::boolean, change, ${known.position}::bigint + n
      from unnest(${changes.map((one) => one.roomId)}::text[], ${changes.map((one) => one.root)}::text[],
        ${changes.map((one) => String(one.subscribed))}::text[], ${changes.map((one) => one.change)}::text[]
      ) with ordinality as r(room_id, thread_root, subscribed, change, n)
      on conflict (account, room_id, thread_root) do update set subscribed = excluded.subscribed, change = excluded.change, ord = excluded.ord
        where (thread_subscriptions.subscribed, thread_subscriptions.change) is distinct from (excluded.subscribed, excluded.change)`;
    const steps = written.count === 0 ? 0 : changes.length;
    await tx`
      update accounts set threads_pos = ${pos}, threads_rest = coalesce(${rest}::text, threads_rest), position = position + ${steps}
      where account = ${account}`;
    if (written.count > 0) {
      await tx`
        delete from thread_subscriptions where account = ${account} and ord <= (
          select ord from thread_subscriptions where account = ${account} order by ord desc offset ${MAX_THREADS} limit 1)`;
    }
    return written.count;
  });
}

/** Changes after one ordinal and before another; `before` null: up to now. */
export type ThreadSpan = { readonly after: number; readonly before: number | null };

export type ThreadRow = ThreadChange & { readonly ord: number };

/** The newest changes in a span, at most `limit`, the newest first; `isAll`: there are no others in it. */
export async function readThreads(
  db: Db,
  account: AccountNo,
  { after, before }: ThreadSpan,
  limit: number,
): Promise<{ readonly rows: readonly ThreadRow[]; readonly isAll: boolean }> {
  const found = await db<{ room_id: RoomId; thread_root: string; subscribed: boolean; change: string; ord: number }[]>`
    select room_id, thread_root, subscribed, change, ord from thread_subscriptions
    where account = ${account} and ord > ${after} and ord < ${before ?? Number.MAX_SAFE_INTEGER} order by ord desc limit ${limit + 1}`;
  const rows = found.slice(0, limit).map(({ room_id, thread_root, ...row }) => ({ roomId: room_id, root: thread_root, ...row }));
  return { rows, isAll: rows.length === found.length };
}

/** See accounts.threads_rest. */
export async function threadsRest(db: Db, account: AccountNo): Promise<string | null> {
  const [row] = await db<{ threads_rest: string | null }[]>`select threads_rest from accounts where account = ${account}`;
  return row?.threads_rest ?? null;
}
