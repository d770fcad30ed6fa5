/** A poller's dependencies and input, and how it ends. */

import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";
import type { HomeserverClient } from "./client.ts";
import type { EarlyDeps } from "./early-rooms.ts";
import type { FirstSyncs } from "./first-syncs.ts";
import type { IngestInput, IngestResult } from "./ingest/ingest-result.ts";
import type { Leases } from "./lease-keeper.ts";
import type { RestoreWatch } from "./restore-watch.ts";
import type { SyncQueue } from "./sync-queue.ts";

export type PollerDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "sync" | "get" | "event" | "slidingSync"> & EarlyDeps["client"];
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  readonly firstSyncs: FirstSyncs;
  readonly leases: Pick<Leases, "owner" | "polled" | "asked" | "proven" | "unproven">;
  readonly ingest: (input: IngestInput) => Promise<IngestResult>;
  /** See reset-account.ts. */
  readonly resetAccount: (account: AccountNo, device: DeviceNo) => Promise<void>;
  readonly restores: Pick<RestoreWatch, "choose" | "foundByPoll">;
  readonly syncQueue: Pick<SyncQueue, "run">;
  /** See Setbacks. */
  readonly setbackMs?: readonly number[] | undefined;
  /** Called when the account's rooms were polled again after a long time without. */
  readonly pollingGap: (account: AccountNo) => void;
  /** Milliseconds; only differences count. The same clock as that of `leases`. */
  readonly now: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  /** See base/abort.ts `sleep`. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** What the supervisor makes. */
export type SupervisedDeps = "feed" | "firstSyncs" | "leases" | "now" | "random" | "sleep" | "client" | "pollingGap" | "restores" | "syncQueue";

export type PollerJob = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** Of the account's lease. */
  readonly epoch: number;
  /** It polls the account's rooms, too; otherwise it is a further device. */
  readonly rooms: boolean;
  /** It asks for the presence of others. */
  readonly presence: boolean;
  /** What the homeserver is told of the user's own presence now. Default: nothing. */
  readonly shown?: () => Presence;
  /** For a further device: whether the account's room poll has brought nothing for long. Default: it is not so. */
  readonly isRoomPollBehind?: () => boolean;
};

/**
 * Why a poller ended.
 * - stopped: `stop` was called.
 * - no_token: the device has no live token (any more); it waits for a newer one.
 * - unusable: its token cannot be opened: it was sealed under another secret.
 * - stale: the account's lease is not ours any more.
 * - deleted: the device is gone.
 */
export type PollerEnd = "stopped" | "no_token" | "unusable" | "stale" | "deleted";
