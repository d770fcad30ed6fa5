/**
 * Sync tokens (`since`, `next`): opaque, URL-safe, at most 255 characters, authenticated (D12, D3).
 *
 * A token holds the session's cursors in every sequence that it follows, and the number of its state (sticky parameters, what was sent). Everything
 * is in the token or in rows that never change, so the same token asks for the same answer in any process, before and after a restart (D10, D22).
 */

import { seal, type Signer, unseal } from "../sync/sealed-token.ts";
import type { PageCursor } from "./streams/stream.ts";
import type { Position, SessionNo } from "../wire/ids.ts";

export type SyncToken = {
  readonly session: SessionNo;
  /** session_states.state: parameters and memory. */
  readonly state: number;
  /** The account's position up to which everything was sent, except for the streams with a cursor below. */
  readonly position: Position;
  /** The device's seq up to which to-device messages were sent. As `since` it acknowledges them (S2). */
  readonly toDevice: number;
  /** The device's seq up to which device lists were sent. */
  readonly e2ee: number;
  /** The position up to which members were sent. It lags behind `position` if a limit split a delta (D19). */
  readonly members: Position;
  /** The position up to which the feed was sent (S6). It lags behind `position` if there was more than its limit. */
  readonly feed: Position;
  /** session_pages.page up to which page answers are part of the state. */
  readonly page: number;
};

const VERSION = 1;
/** Tokens of before the feed had one less. */
const FIELDS = [7, 8];

/** Encodes and authenticates a token. */
export function sealToken(token: SyncToken, sign: Signer): string {
  const bytes = [VERSION];
  const values = [token.session, token.state, token.position, token.toDevice, token.e2ee, token.members, token.page, token.feed];
  for (let value of values) {
    while (value >= 0x80) {
      bytes.push((value % 0x80) | 0x80);
      value = Math.floor(value / 0x80);
    }
    bytes.push(value);
  }
  return seal("sync", Buffer.from(bytes), sign);
}

/** Decodes a token; null: we never issued it, since it is malformed, altered or from another installation. */
export function openToken(text: string, sign: Signer): SyncToken | null {
  const data = unseal("sync", text, sign);
  if (!data || data[0] !== VERSION) return null;
  const values: number[] = [];
  let value = 0;
  let unit = 1;
  for (const byte of data.subarray(1)) {
    value += (byte & 0x7f) * unit;
    if (byte & 0x80) unit *= 0x80;
    else {
      values.push(value);
      value = 0;
      unit = 1;
    }
  }
  const [session, state, position, toDevice, e2ee, members, page, feed = position] = values;
  if (!FIELDS.includes(values.length) || session === undefined || state === undefined || position === undefined) return null;
  if (toDevice === undefined || e2ee === undefined || members === undefined || page === undefined || feed === undefined) return null;
  return {
    session: session as SessionNo,
    state,
    position: position as Position,
    toDevice,
    e2ee,
    members: members as Position,
    page,
    feed: feed as Position,
  };
}

/**
 * A page token (`p.next`, `p.since`): where the next page of a stream begins in a snapshot (D15).
 * `room_members`: the last user of the page before; `room_list`: how many rooms of the stored list came before.
 */
export type PageToken = PageCursor & { readonly session: SessionNo; readonly position: Position };

export function sealPageToken(token: PageToken, sign: Signer): string {
  return seal("page", Buffer.from(JSON.stringify(token)), sign);
}

/** Decodes a page token; null: we never issued it. */
export function openPageToken(text: string, sign: Signer): PageToken | null {
  const data = unseal("page", text, sign);
  // Only what sealPageToken wrote passes the check, so the shape is known.
  return data && (JSON.parse(data.toString()) as PageToken);
}
