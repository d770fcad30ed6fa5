/**
 * How far back an account can be asked for (D10). Tokens below its horizon are answered as in R11, and rows below it are deleted.
 *
 * A token works until a later one of its session has been used, and for an hour after that. When a later one was used is not stored.
 * Instead, the lowest of the tokens last used in each session is recorded from time to time (position_marks). The value of an hour-old mark,
 * lowered by tokens that were used again since, is the horizon; it lags the truth by some minutes at most.
 */

import type { Db, Tx } from "../db.ts";

/** Accounts with a number in (after, until]. */
export type AccountRange = { readonly after: number; readonly until: number };

/** The next `limit` accounts after a number; null: there are no more. */
export async function nextAccounts(db: Db, after: number, limit: number): Promise<AccountRange | null> {
  const [row] = await db<{ until: number | null }[]>`
    select max(account) as until from (select account from accounts where account > ${after} order by account limit ${limit}) a`;
  return row && row.until !== null ? { after, until: row.until } : null;
}

/**
 * Records where the accounts and their sessions are, if that has changed since a mark that is at least `everyMs` old. An account whose first
 * v2 answer is not stored yet gets no mark and so no horizon: tokens of position 0 have been given out (D23). Skips accounts that are being
 * written to until the next time.
 */
export async function markPositions(tx: Tx, range: AccountRange, at: Date, everyMs: number): Promise<number> {
  // Checking the reference to the account takes a lock that may have to wait. Take it beforehand, where it is free.
  const marked = await tx`
    with due as (
      select f.account, f.position, f.lowest
      from (${tokenPositions(tx, range)}) f
      left join lateral (
        select marked_at, position, lowest from position_marks m where m.account = f.account order by marked_at desc limit 1
      ) m on true
      where m.marked_at is null
        or (m.marked_at <= ${at}::timestamptz - ${everyMs}::float8 * interval '1 millisecond' and (m.position, m.lowest) <> (f.position, f.lowest))
    ), held as (
      select a.account from accounts a join due using (account) for key share of a skip locked
    )
    insert into position_marks (account, marked_at, position, lowest)
    select account, ${at}::timestamptz, position, lowest from due join held using (account)
    on conflict do nothing`;
  return marked.count;
}

/**
 * Raises horizons to what the newest mark of at least `keepMs` ago allows. Never lowers one; skips accounts that are being written to until
 * the next time. Returns how many were raised.
 */
export async function raiseHorizons(tx: Tx, range: AccountRange, at: Date, keepMs: number): Promise<number> {
  // An old token that was used again since the mark counts with its present position.
  const raised = await tx`
    with due as (
      select f.account, least(f.lowest, m.lowest) as horizon
      from (${tokenPositions(tx, range)}) f
      cross join lateral (
        select lowest from position_marks m
        where m.account = f.account and m.marked_at <= ${at}::timestamptz - ${keepMs}::float8 * interval '1 millisecond'
        order by marked_at desc limit 1
      ) m
      where least(f.lowest, m.lowest) > f.horizon
    ), locked as (
      select a.account from accounts a join due using (account) for no key update of a skip locked
    )
    update accounts a set horizon = due.horizon
    from due join locked using (account) where a.account = due.account and a.horizon < due.horizon`;
  return raised.count;
}

/**
 * Deletes the marks that are no longer needed. Those of the last `keepMs` and the newest one before stay, and for each session that has not
 * used a token with a position yet the newest one before its beginning.
 */
export async function deleteMarks(tx: Tx, range: AccountRange, at: Date, keepMs: number): Promise<number> {
  const deleted = await tx`
    delete from position_marks m
    where m.account > ${range.after} and m.account <= ${range.until}
      and exists (
        select from position_marks n
        where n.account = m.account and n.marked_at > m.marked_at
          and n.marked_at <= ${at}::timestamptz - ${keepMs}::float8 * interval '1 millisecond')
      and not exists (
        select from sessions s
        where s.account = m.account and s.kind = 'v3' and s.position = 0 and s.created_at - ${MARGIN}::interval >= m.marked_at
          and not exists (
            select from position_marks n
            where n.account = m.account and n.marked_at > m.marked_at and n.marked_at <= s.created_at - ${MARGIN}::interval))`;
  return deleted.count;
}

/** The position in a mark may be from somewhat later than the mark's time. */
const MARGIN = "1 minute";

/**
 * `position` of each account, and `lowest`: the position of the lowest token among those last used in each session. A session that has only
 * had its first answer has used none: what that answer gave is not lower than where the account was when the session began, according to the
 * marks; 0 if there was no mark, because the answer may have been the one without data (D23).
 */
function tokenPositions(tx: Tx, range: AccountRange) {
  return tx`
    select a.account, a.position, a.horizon, least(a.position, (
      select min(case when s.position > 0 then s.position else coalesce((
        select m.position from position_marks m where m.account = s.account and m.marked_at <= s.created_at - ${MARGIN}::interval
        order by m.marked_at desc limit 1), 0) end)
      from sessions s where s.account = a.account and s.kind = 'v3')) as lowest
    from accounts a
    where a.account > ${range.after} and a.account <= ${range.until} and a.complete`;
}
