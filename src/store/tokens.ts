/**
 * Access tokens: which device each belongs to, whether the homeserver still accepts it, and when that was last verified (D2). At rest a
 * token is a key (HMAC) to look it up and a sealed box to recover it; both need the server's secret.
 */

import { SealError, type SecretBox } from "../base/secret-box.ts";
import type { AccountNo, DeviceNo, UserId } from "../wire/ids.ts";
import { type ConnectionHead, headColumns, headOf, type StoredHead } from "./connections.ts";
import { type Db, type Sql, type Tx, writeTx } from "./db.ts";

/** The stored form of an access token: `tokenHash` 32 bytes, `ciphertext` a box bound to that hash. */
export type SealedToken = { readonly tokenHash: Buffer; readonly ciphertext: Buffer };

export type TokenRow = SealedToken & {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  readonly deviceId: string;
  /** How long ago the homeserver was last known to accept it (whoami, or a poll with this very token), ms by the database's clock (T16). */
  readonly verifiedAgoMs: number;
  /** When the homeserver answered M_UNKNOWN_TOKEN; null: the token is live. */
  readonly deadAt: Date | null;
  /** With `deadAt`: how long ago that was. */
  readonly deadAgoMs: number | null;
  /** With `deadAt`: what the homeserver's answer said. */
  readonly softLogout: boolean;
  /** The homeserver's answer to all tokens of the account while it is locked (T17), and how long ago it last gave it; null: it is not locked. */
  readonly locked: { readonly body: string; readonly agoMs: number } | null;
  /** How far account and device are, of no connection. */
  readonly head: ConnectionHead;
};

/** Seals an access token for storage. */
export function sealToken(box: SecretBox, token: string): SealedToken {
  const tokenHash = box.hashToken(token);
  return { tokenHash, ciphertext: box.seal(token, contextOf(tokenHash)) };
}

/** The access token itself. @throws SealError when it was sealed under another secret. */
export function openToken(box: SecretBox, sealed: SealedToken): string {
  return box.open(sealed.ciphertext, contextOf(sealed.tokenHash));
}

function contextOf(tokenHash: Buffer): string {
  return `token ${tokenHash.toString("hex")}`;
}

/** What is known of the token with that hash, dead or live; null: never seen. */
export async function findToken(db: Db, tokenHash: Buffer): Promise<TokenRow | null> {
  const [row] = await findTokens(db, [tokenHash]);
  return row ?? null;
}

/** One result for each hash. */
export async function findTokens(db: Db, tokenHashes: readonly Buffer[]): Promise<(TokenRow | null)[]> {
  const rows = await db<(Omit<TokenRow, "userId" | "head" | "locked"> & StoredHead & { locked: string | null; lockedAgoMs: number })[]>`
    select t.token_hash as "tokenHash", t.ciphertext, t.account, t.device, d.device_id as "deviceId",
      ${agoMs(db, "t.verified_at")} as "verifiedAgoMs", t.dead_at as "deadAt", ${agoMs(db, "t.dead_at")} as "deadAgoMs",
      t.soft_logout as "softLogout", a.locked, ${agoMs(db, "a.locked_at")} as "lockedAgoMs", ${headColumns(db)}
    from tokens t
    join devices d using (device)
    join accounts a on a.account = t.account
    left join sessions q on q.device = d.device and q.kind = 'sliding'
    where t.token_hash = any(array(select decode(hash, 'hex') from unnest(${tokenHashes.map((hash) => hash.toString("hex"))}::text[]) as hash))`;
  const found = new Map(rows.map((row) => [row.tokenHash.toString("base64"), row]));
  return tokenHashes.map((hash) => {
    const row = found.get(hash.toString("base64"));
    if (!row) return null;
    const { user_id: userId, tokenHash: key, ciphertext, account, device, deviceId, verifiedAgoMs, deadAt, deadAgoMs, softLogout } = row;
    const locked = row.locked === null ? null : { body: row.locked, agoMs: row.lockedAgoMs };
    return { tokenHash: key, ciphertext, account, device, userId, deviceId, verifiedAgoMs, deadAt, deadAgoMs, softLogout, locked, head: headOf(row) };
  });
}

function agoMs(db: Db, column: string) {
  return db`(extract(epoch from clock_timestamp() - ${db(column)}) * 1000)::float8`;
}

/**
 * Stores what whoami has just answered for a token: its account, device and the token, created or found, in one transaction. Call it only
 * after the homeserver has verified the token (D2). It counts as verification: a dead token becomes live again, a locked account is open again. `deviceId`: from whoami; if
 * that names none, any value that is always the same for that token (B10).
 */
export function registerToken(
  sql: Sql,
  token: SealedToken & { readonly userId: UserId; readonly deviceId: string },
): Promise<{ account: AccountNo; device: DeviceNo }> {
  return writeTx(sql, async (tx) => {
    const [accountRow] = await tx<{ account: AccountNo }[]>`
      insert into accounts (user_id) values (${token.userId})
      on conflict (user_id) do update set seen_at = now(), locked = null, locked_at = null returning account`;
    if (!accountRow) throw new Error("an upsert returned no account");
    const { account } = accountRow;
    const [deviceRow] = await tx<{ device: DeviceNo }[]>`
      insert into devices (account, device_id) values (${account}, ${token.deviceId})
      on conflict (account, device_id) do update set seen_at = now() returning device`;
    if (!deviceRow) throw new Error("an upsert returned no device");
    const { device } = deviceRow;
    await tx`
      insert into tokens (token_hash, device, account, ciphertext) values (${token.tokenHash}, ${device}, ${account}, ${token.ciphertext})
      on conflict (token_hash) do update set device = excluded.device, account = excluded.account, ciphertext = excluded.ciphertext,
        verified_at = now(), dead_at = null, soft_logout = false`;
    return { account, device };
  });
}

/** Records that each of the tokens was verified, `agoMs` milliseconds before now. Never sets an older time, never revives a dead token. */
export async function markVerified(db: Db, proofs: readonly { readonly tokenHash: Buffer; readonly agoMs: number }[]): Promise<void> {
  if (proofs.length === 0) return;
  const list = JSON.stringify(proofs.map((proof) => ({ hash: proof.tokenHash.toString("hex"), ago: proof.agoMs })));
  await db`
    update tokens t set verified_at = greatest(t.verified_at, now() - p.ago * interval '1 millisecond')
    from json_to_recordset(${list}::text::json) as p(hash text, ago double precision)
    where t.token_hash = decode(p.hash, 'hex') and t.dead_at is null`;
}

/** Records that the homeserver answered M_UNKNOWN_TOKEN: the token is never sent again (B57) until it is registered again. Its account, if stored. */
export async function markDead(db: Db, tokenHash: Buffer, softLogout: boolean): Promise<AccountNo | null> {
  const [row] = await db<{ account: AccountNo }[]>`
    update tokens set dead_at = coalesce(dead_at, now()), soft_logout = ${softLogout} where token_hash = ${tokenHash} returning account`;
  return row?.account ?? null;
}

/** The device's token to poll with: the one that was first seen most recently and is not dead. */
export async function newestLiveToken(db: Db, device: DeviceNo): Promise<SealedToken | null> {
  const rows = await db<SealedToken[]>`
    select token_hash as "tokenHash", ciphertext from tokens
    where device = ${device} and dead_at is null order by created_at desc limit 1`;
  return rows[0] ?? null;
}

/** An access token to ask the homeserver with: the account's live one that was verified last. With its device and the account's user. */
export type AccountToken = SealedToken & { readonly device: DeviceNo; readonly userId: UserId };

/** For a query that has accounts as `a`: that token, as a lateral subquery. */
export function lastVerified(db: Db) {
  return db`select * from tokens t where t.account = a.account and t.dead_at is null order by t.verified_at desc limit 1`;
}

/** For a query that has accounts as `a` and lastVerified as `t`: the columns of AccountToken. */
export function accountTokenColumns(db: Db) {
  return db`a.user_id as "userId", t.device, t.token_hash as "tokenHash", t.ciphertext`;
}

/** Tokens that are resealed in one statement. */
const RESEAL_BATCH = 1000;

/**
 * Seals all tokens that `from` opens with `to`. Those that `to` opens are done already; those that neither opens stay unchanged. With 100
 * 000 tokens it takes seconds. No process writes tokens meanwhile: the table is locked until the transaction ends.
 */
export async function resealTokens(tx: Tx, from: SecretBox, to: SecretBox): Promise<{ sealed: number; unreadable: number }> {
  await tx`lock table tokens in exclusive mode`;
  const rows = await tx<SealedToken[]>`select token_hash as "tokenHash", ciphertext from tokens`;
  const unsealed = rows.filter((row) => tryOpen(to, row) === null);
  const resealed = unsealed.flatMap((row) => {
    const token = tryOpen(from, row);
    if (token === null) return [];
    const { tokenHash, ciphertext } = sealToken(to, token);
    return { old: row.tokenHash.toString("hex"), hash: tokenHash.toString("hex"), box: ciphertext.toString("hex") };
  });
  for (let i = 0; i < resealed.length; i += RESEAL_BATCH) {
    await tx`
      update tokens t set token_hash = decode(n.hash, 'hex'), ciphertext = decode(n.box, 'hex')
      from json_to_recordset(${JSON.stringify(resealed.slice(i, i + RESEAL_BATCH))}::text::json) as n(old text, hash text, box text)
      where t.token_hash = decode(n.old, 'hex')`;
  }
  const unreadable = unsealed.length - resealed.length;
  return { sealed: rows.length - unreadable, unreadable };
}

function tryOpen(box: SecretBox, sealed: SealedToken): string | null {
  try {
    return openToken(box, sealed);
  } catch (error) {
    if (error instanceof SealError) return null;
    throw error;
  }
}
