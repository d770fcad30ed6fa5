/**
 * Positions of sliding sync connections (`pos`): opaque, authenticated, bound to a connection. Everything that a position stands for is in it, or
 * in rows that never change, so that it means the same in every process, before and after a restart.
 *
 * A position contains the upstream token of its moment: `/messages`, `/relations` and `/keys/changes` accept a `pos` (MSC4186), which is replaced
 * by that token, even if the connection is long gone.
 */

import { createHash } from "node:crypto";
import { seal, type Signer, unseal } from "../sync/sealed-token.ts";
import type { AccountNo, DeviceNo, Position, SessionNo } from "../wire/ids.ts";

export type Pos = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** Derived from the connection's name: see `digestOf`. */
  readonly conn: string;
  readonly session: SessionNo;
  /** connection_states.state, and its mark. */
  readonly state: number;
  readonly mark: number;
  /** The account's position up to which rooms and their extensions were sent. */
  readonly position: Position;
  /** devices.seq up to which device lists were sent. */
  readonly e2ee: number;
  /** The homeserver's token for `position`; "" before the first. */
  readonly upstream: string;
};

/** A request's position. The number and the state of a connection that does not exist yet are null and 0. */
export type RequestPos = Omit<Pos, "session"> & { readonly session: SessionNo | null };

/** The prefix of our positions. No homeserver's tokens begin with it. */
const PREFIX = "syncv3_";
const VERSION = 2;
const MAX_LENGTH = 4096;

export function sealPos(pos: Pos, sign: Signer): string {
  const { account, device, conn, session, state, mark, position, e2ee, upstream } = pos;
  const data = Buffer.from(JSON.stringify([VERSION, account, device, conn, session, state, mark, position, e2ee, upstream]));
  const text = PREFIX + seal("pos", data, sign);
  return text.length > MAX_LENGTH && upstream !== "" ? sealPos({ ...pos, upstream: "" }, sign) : text;
}

/** null: we never issued it. */
export function openPos(text: string, sign: Signer): Pos | null {
  if (!isOurs(text) || text.length > MAX_LENGTH) return null;
  const data = unseal("pos", text.slice(PREFIX.length), sign);
  if (!data) return null;
  // Only what sealPos wrote passes the check, so its shape is known.
  const [version, account, device, conn, session, state, mark, position, e2ee, upstream] = JSON.parse(data.toString()) as [
    number,
    AccountNo,
    DeviceNo,
    string,
    SessionNo,
    number,
    number,
    Position,
    number,
    string,
  ];
  return version === VERSION ? { account, device, conn, session, state, mark, position, e2ee, upstream } : null;
}

/** Identifies a connection's name in positions, so that they are short whatever the name is. */
export function digestOf(connId: string): string {
  return createHash("sha256").update(connId).digest("base64url").slice(0, 16);
}

/** Whether a text is meant to be one of our positions. */
export function isOurs(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** The homeserver's token that a position stands for; "unknown": the position is not this account's. */
export function upstreamTokenOf(text: string, account: AccountNo, sign: Signer): string {
  const pos = openPos(text, sign);
  return pos && pos.account === account && pos.upstream !== "" ? pos.upstream : "unknown";
}
