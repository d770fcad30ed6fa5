/** Pages of a room's history, by the homeserver's /messages. */

import type { RoomId } from "../wire/ids.ts";
import type { HomeserverClient } from "./client.ts";
import { cutAnswer } from "./cut-answer.ts";

/** `chunk`: newest first. `end`: right before the oldest of them; null: there is nothing older. */
export type HistoryPage = { readonly chunk: readonly string[]; readonly end: string | null };

/** Most empty pages that are followed. */
const MOST_EMPTY = 10;

/** The next page of events older than `from` that is not empty. A homeserver may send an empty one with a token to continue from. */
export async function readPage(
  client: Pick<HomeserverClient, "messages">,
  token: string,
  { roomId, from, limit }: { readonly roomId: RoomId; readonly from: string; readonly limit: number },
  signal: AbortSignal,
): Promise<HistoryPage> {
  let page: HistoryPage = { chunk: [], end: from };
  for (let tries = 0; tries < MOST_EMPTY && page.chunk.length === 0 && page.end !== null; tries += 1) {
    // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
    const { chunk, end } = cutAnswer((await client.messages(token, roomId, { from: page.end, dir: "b", limit }, signal)).text);
    // Some homeservers return the same token again when there is nothing older.
    page = { chunk, end: chunk.length === 0 && end === page.end ? null : end };
  }
  return page;
}
