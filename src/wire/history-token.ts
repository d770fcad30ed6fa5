/**
 * Our own pagination token (T20): the point right before an event of a room. It is used if the homeserver gave no token for exactly that
 * point. The token is self-contained: it needs no stored row, does not expire and survives a new secret. It is neither secret nor signed:
 * whoever makes one up asks the homeserver with their own access token, and gets nothing that they could not have got without it.
 */

import { isIdentifier } from "./identifier.ts";
import type { EventId, RoomId } from "./ids.ts";

export type HistoryToken = {
  readonly room: RoomId;
  /** The point is right before this event. */
  readonly event: EventId;
  /** The homeserver's nearest known token after that point: from there the event itself is found too. "": the newest event. */
  readonly later: string;
};

/** No homeserver's token begins with it, and neither does a position (src/sliding/pos.ts). */
const PREFIX = "syncv3~";
/** Characters. The token travels in URLs. */
const MAX_LENGTH = 2048;

/**
 * The token's text: URL-safe, except for what the homeserver put into `later`. If it would be too long, or an id is too long to be one (then
 * a key is stored in its place), `later` alone.
 */
export function historyToken({ room, event, later }: HistoryToken): string {
  if (!isIdentifier(room) || !isIdentifier(event)) return later;
  const text = `${PREFIX}${escaped(room)}~${escaped(event)}~${later}`;
  return text.length > MAX_LENGTH ? later : text;
}

/** Whether a text is meant to be one of these tokens. */
export function isHistoryToken(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** Decodes a token; null: the text is not one. */
export function readHistoryToken(text: string): HistoryToken | null {
  if (!isHistoryToken(text) || text.length > MAX_LENGTH) return null;
  const [, room, event, ...later] = text.split("~");
  if (room === undefined || event === undefined || later.length === 0) return null;
  try {
    const ids = { room: decodeURIComponent(room), event: decodeURIComponent(event) };
    if (!isIdentifier(ids.room) || !isIdentifier(ids.event)) return null;
    return { room: ids.room as RoomId, event: ids.event as EventId, later: later.join("~") };
  } catch {
    return null; // broken escapes
  }
}

function escaped(id: string): string {
  return encodeURIComponent(id).replaceAll("~", "%7E");
}
