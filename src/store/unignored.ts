/** Users that accounts ignore no more, and what the homeserver has withheld of them (T2). */

import type { AccountNo, Position, RoomId, UserId } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";
import { OPEN } from "./ingest/row-types.ts";
import type { DueCheck } from "./room-checks.ts";
import { type AccountToken, accountTokenColumns, lastVerified } from "./tokens.ts";

/** An account that begins from scratch when what was withheld of those users is stored, or in `leftMs`. */
export type FreshStart = AccountToken & { readonly account: AccountNo; readonly users: readonly UserId[]; readonly leftMs: number };

/** Those of the accounts that have one. `boundMs`: from when the un-ignoring was stored. */
export async function dueFreshStarts(db: Db, accounts: readonly AccountNo[], boundMs: number): Promise<FreshStart[]> {
  if (accounts.length === 0) return [];
  return await db<FreshStart[]>`
    select u.account, u.users, ${boundMs}::double precision - extract(epoch from now() - u.noticed_at)::double precision * 1000 as "leftMs",
      ${accountTokenColumns(db)}
    from (
      select account, array_agg(user_id) as users, min(noticed_at) as noticed_at from unignored_users
      where account = any(${[...accounts]}::bigint[]) group by account) u
    join accounts a using (account) cross join lateral (${lastVerified(db)}) t
    where a.complete and a.since is not null`;
}

/** `isMember`: one of the users is or was in it; null: that is not known. */
export type CandidateRoom = { readonly roomId: RoomId; readonly isMember: true | null };

/** The account's rooms that may have messages of those users: the ones that they are known to be in come first, then the newest. */
export async function candidateRooms(db: Db, account: AccountNo, users: readonly UserId[]): Promise<CandidateRoom[]> {
  return await db<CandidateRoom[]>`
    select r.room_id as "roomId", case when k.known then true end as "isMember"
    from room_facts f join rooms r using (account, room_id)
    cross join lateral (
      select exists (
        select from members m where m.account = ${account} and m.room_id = f.room_id and m.user_id = any(${[...users]}::text[])) as known) k
    where f.account = ${account} and f.to_ord = ${OPEN}::bigint and f.membership = 'join' and (k.known or r.members <> 'complete')
    order by k.known desc, r.last_ts desc`;
}

/** Which of the users the account has not ignored again meanwhile. Call it with the account locked. */
export async function stillUnignored(tx: Tx, account: AccountNo, users: readonly UserId[]): Promise<UserId[]> {
  const rows = await tx<{ user_id: UserId }[]>`
    select user_id from unignored_users where account = ${account} and user_id = any(${[...users]}::text[])`;
  return rows.map((row) => row.user_id);
}

/** Nothing more has to be fetched of those users before sessions end. */
export async function endUnignored(tx: Tx, account: AccountNo, users: readonly UserId[]): Promise<void> {
  await tx`delete from unignored_users where account = ${account} and user_id = any(${[...users]}::text[])`;
}

/** Accounts whose withheld invites may be asked for now, without those whose polls fail. */
export async function dueInvites(db: Db, accounts: readonly AccountNo[]): Promise<DueCheck[]> {
  if (accounts.length === 0) return [];
  return await db<DueCheck[]>`
    select a.account, a.position, a.ignored, true as comparable, ${accountTokenColumns(db)}
    from accounts a join leases l using (account) cross join lateral (${lastVerified(db)}) t
    where a.account = any(${[...accounts]}::bigint[]) and a.invites_due_at <= now() and a.complete and a.since is not null
      and coalesce(l.polled_at > now() - interval '2 minutes', true)`;
}

/** Whether the account's withheld invites are being asked for, or will be again soon because that failed. */
export async function areInvitesAwaited(db: Db, account: AccountNo): Promise<boolean> {
  const rows = await db`
    select from accounts where account = ${account} and (invites_due_at <= now() or (invites_due_at is not null and invites_asked_at is null))`;
  return rows.length > 0;
}

/** They are asked for: what is un-ignored from now on takes another question, an hour later. */
export async function beginInvites(db: Db, account: AccountNo): Promise<Position | null> {
  const [row] = await db<{ position: Position }[]>`
    update accounts set invites_asked_at = now() where account = ${account} returning position`;
  return row?.position ?? null;
}

/** They are stored. */
export async function endInvites(db: Db, account: AccountNo): Promise<void> {
  await db`update accounts set invites_due_at = null where account = ${account} and invites_due_at <= invites_asked_at`;
}

/** They could not be fetched: try again in `ms`. */
export async function postponeInvites(db: Db, account: AccountNo, ms: number): Promise<void> {
  await db`
    update accounts set invites_asked_at = null, invites_due_at = now() + ${ms}::double precision * interval '1 millisecond' where account = ${account}`;
}
