/** The input of one evaluation. */

import type { RoomEvent } from "../store/bundles.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { ConnectionState } from "./connection-state.ts";
import type { RequestPos } from "./pos.ts";
import type { Dialect, SlidingBody } from "./request.ts";

export type SlidingQuestion = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly pos: RequestPos;
  readonly state: ConnectionState;
  readonly body: SlidingBody;
  readonly dialect: Dialect;
  /** History of every account is read through this server: see PagingContext. */
  readonly ownTokens: boolean;
  /** See FetchDeps. */
  readonly askBundles: (account: AccountNo, events: readonly RoomEvent[]) => void;
  /** Needs that were fetched already, or could not be. */
  readonly tried: ReadonlySet<string>;
};
