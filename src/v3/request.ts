/** A request of sync v3, and what the engine needs to answer it. */

import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { FetchDeps } from "../sync/fetches.ts";
import type { SyncBody } from "./params.ts";
import type { Signer } from "../sync/sealed-token.ts";

export type EngineOptions = {
  /** A session that was not used for this long is gone (D20), ms. */
  readonly sessionIdleMs: number;
  /** D20. */
  readonly sessionsPerDevice: number;
  /** How long an account's first request waits for the first v2 response (D23), ms. */
  readonly firstContactMs: number;
  /** How long an answer waits for what must be fetched (D24), ms. */
  readonly fetchMs: number;
};

export type EngineDeps = FetchDeps & {
  readonly sql: Sql;
  readonly feed: Feed;
  readonly sign: Signer;
  /** History of every account is read through this server (see PagingContext). Default: only that of accounts seen doing so. */
  readonly ownTokens?: boolean;
  readonly options: EngineOptions;
};

export type SyncRequest = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly tokenHash: Buffer;
  readonly since: string | null;
  readonly body: SyncBody;
  /** ms, 0 to 300 000 (D6). */
  readonly timeout: number;
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;
};
