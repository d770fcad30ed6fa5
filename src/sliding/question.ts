/** What one evaluation is asked. */

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
  /** Whatever the account, see PagingContext. */
  readonly ownTokens: boolean;
  /** Needs that were already fetched, or could not be. */
  readonly tried: ReadonlySet<string>;
};
