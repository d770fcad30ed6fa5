/**
 * A pagination token of our own (T20): the place right before an event of a room. It is used where the homeserver gave no token for that
 * exact place. Everything it says is in its text: it needs no stored row, does not expire and survives a new secret. It is not secret
 * and not signed either: whoever makes one up asks the homeserver with their own access token, and gets nothing that they could not
 * have asked for without it.
 */

import { isIdentifier } from "./identifier.ts";
import type { EventId, RoomId } from "./ids.ts";

export type HistoryToken = {
  readonly room: RoomId;
  /** The place is right before this event. */
  readonly event: EventId;
  /** The homeserver's nearest token after that place, as far as was known: from there the event itself is found too. "": the newest event. */
  readonly later: string;
};

/** No homeserver's token begins with it, and no position of ours does (src/sliding/pos.ts). */
const PREFIX = "syncv3~";
/** Characters. The token travels in URLs. */
const MAX_LENGTH = 2048;

/**
 * The token's text: URL-safe but for what the homeserver put into `later`. Where it would be too long, or an id is too long to be one (what
 * is stored stands for it, then), `later` alone.
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

/** The token that a text stands for; null: it is none. */
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
