/** What every evaluation of a request begins with, of page requests too. */

import type { RoomEvent } from "../store/bundles.ts";
import type { Tx } from "../store/db.ts";
import type { SessionHead } from "../store/sessions.ts";
import { type Context, type ListCaches, NOTHING_TRACKED } from "./streams/stream.ts";
import type { AccountNo, DeviceNo, Position } from "../wire/ids.ts";
import type { SyncToken } from "./token.ts";

export type Requester = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly token: SyncToken;
  readonly lists: ListCaches;
  /** History of every account is read through this server. */ readonly ownTokens: boolean;
  /** See FetchDeps. */ readonly askBundles: (account: AccountNo, events: readonly RoomEvent[]) => void;
};

/** A context that cannot seal page tokens yet, since those depend on the snapshot that is paged through. `now`: ms since the epoch. */
export function unsealedContext(
  tx: Tx,
  { account, device, token, lists, ownTokens, askBundles }: Requester,
  head: SessionHead,
  now: number,
): Omit<Context, "sealPage"> {
  return {
    tx,
    account,
    device,
    session: token.session,
    userId: head.userId,
    from: token,
    to: Math.max(head.position, token.position) as Position,
    deviceSeq: Math.max(head.deviceSeq, token.toDevice, token.e2ee),
    upstreamSince: head.upstreamSince,
    ownTokens: ownTokens || head.pagesHere,
    ignored: head.ignored,
    retention: head.retention,
    askBundles: (events) => askBundles(account, events),
    cache: { ...lists, now: head },
    tracked: NOTHING_TRACKED,
    pageRooms: [],
    tried: new Set(),
    late: new Set(),
    now,
  };
}
