/** Presence while it is not part of the account's ordinary polls, and as sliding sync reads it. */

import type { AccountNo, UserId } from "../wire/ids.ts";
import { type Db, type Sql, type Tx, writeTx } from "./db.ts";
import { heldLeases, lockAccount } from "./ingest/device.ts";

/** From where to ask for the presence that is missing; null: from scratch, because nothing of it is stored (any more). */
export async function presenceStart(db: Db, account: AccountNo): Promise<string | null> {
  const [row] = await db<{ presence_since: string | null }[]>`
    select presence_since from accounts a where account = ${account} and exists (select from presence p where p.account = a.account)`;
  return row?.presence_since ?? null;
}

export type MissedPresence = {
  readonly account: AccountNo;
  /** Of the account's lease. */
  readonly epoch: number;
  /** accounts.since when the homeserver was asked: the events are from after it. */
  readonly since: string;
  /** One of each user. */
  readonly events: readonly { readonly user_id: UserId; readonly body: string }[];
  /** When they arrived, ms. */
  readonly at: number;
};

/** Stores what was missed as a batch of its own: from now on the stored presence is complete. False: the account is polled by somebody else by now. */
export function storeMissedPresence(sql: Sql, { account, epoch, since, events, at }: MissedPresence): Promise<boolean> {
  return writeTx(sql, async (tx) => {
    const known = await lockAccount(tx, account);
    if (known?.since !== since || !(await heldLeases(tx, [{ account, epoch }])).has(account)) return false;
    const written = await tx`
      insert into presence (account, user_id, body, ord, at)
      select ${account}, user_id, body, ${known.position}::bigint + n, ${at}::bigint
      from unnest(${events.map((event) => event.user_id)}::text[], ${events.map((event) => event.body)}::text[])
        with ordinality as r (user_id, body, n)
      on conflict (account, user_id) do update set body = excluded.body, ord = excluded.ord, at = excluded.at`;
    await tx`update accounts set presence_since = since, position = position + ${written.count} where account = ${account}`;
    return true;
  });
}

/** A presence event as received; `at`: when, ms (null: not known). */
export type PresenceRow = { readonly body: string; readonly ord: number; readonly at: number | null };

/** The events that changed after an ordinal, the longest unchanged first. */
export async function readPresenceAfter(tx: Tx, account: AccountNo, after: number, limit: number): Promise<PresenceRow[]> {
  return tx<PresenceRow[]>`select body, ord, at from presence where account = ${account} and ord > ${after} order by ord limit ${limit}`;
}
