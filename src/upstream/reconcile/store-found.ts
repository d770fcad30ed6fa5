/** Stores what was found out about an account's rooms like an answer of the homeserver. */

import type { Feed } from "../../feed/hub.ts";
import type { Sql } from "../../store/db.ts";
import type { Asker } from "../../store/room-checks.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { storeReread } from "../ingest/store-reread.ts";

export type FoundInput = {
  readonly asker: Asker;
  /** Of the account's lease. */
  readonly epoch: number;
  readonly response: V2Response;
  /** See RereadInput.unchangedSince. */
  readonly since: ReadonlyMap<RoomId, Position>;
};

/** Whether anything was stored. */
export async function storeFound(
  { sql, feed }: { readonly sql: Sql; readonly feed: Pick<Feed, "publish"> },
  { asker: { account, device, userId }, epoch, response, since }: FoundInput,
): Promise<boolean> {
  const result = await storeReread(sql, { account, device, userId, epoch, response, now: Date.now(), unchangedSince: since });
  if (result.kind === "stale" || result.news.rooms.size === 0) return false;
  feed.publish({ type: "news", account, kinds: result.news.kinds, rooms: result.news.rooms });
  return true;
}
