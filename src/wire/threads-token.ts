/**
 * The pagination token of a list of threads that is made here (M100): a place in a room's history. It needs no stored row and is neither secret
 * nor signed, as our other pagination token (history-token.ts): the history is read with the access token of whoever asks.
 */

import { isIdentifier } from "./identifier.ts";
import type { EventId, RoomId } from "./ids.ts";

export type ThreadsToken = {
  readonly room: RoomId;
  /** The homeserver's token of a page of the room's history; "": the newest page. */
  readonly page: string;
  /** The list goes on behind this event of the page; null: at its beginning. */
  readonly after: EventId | null;
};

/** No homeserver's token begins with it. */
const PREFIX = "syncv3-threads~";

export function threadsToken({ room, page, after }: ThreadsToken): string {
  return `${PREFIX}${escaped(room)}~${escaped(after ?? "")}~${page}`;
}

/** null: the text is no such token. */
export function readThreadsToken(text: string): ThreadsToken | null {
  if (!text.startsWith(PREFIX)) return null;
  const [, room, after, ...page] = text.split("~");
  if (room === undefined || after === undefined || page.length === 0) return null;
  try {
    const [roomId, eventId] = [decodeURIComponent(room), decodeURIComponent(after)];
    if (!isIdentifier(roomId) || (eventId !== "" && !isIdentifier(eventId))) return null;
    return { room: roomId as RoomId, page: page.join("~"), after: eventId === "" ? null : (eventId as EventId) };
  } catch {
    return null; // broken escapes
  }
}

function escaped(id: string): string {
  return encodeURIComponent(id).replaceAll("~", "%7E");
}
