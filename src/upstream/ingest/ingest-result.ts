/** The input and the result of ingest. */

import type { WakeKind } from "../../feed/hub.ts";
import type { ReplacedState } from "../../store/ingest/replaced.ts";
import type { StoredBatch } from "../../store/ingest/row-types.ts";
import type { DeviceListChanges } from "./device-lists.ts";
import type { AccountNo, DeviceNo, Position, RoomId, UserId } from "../../wire/ids.ts";

/** One v2 response, and the parameters of its poll. */
export type IngestInput = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** The account's own user id. */
  readonly userId: UserId;
  /** The epoch of the lease that the poller holds; null: it holds none, and none is checked. */
  readonly epoch: number | null;
  /** The poll had rooms: the response advances accounts.since as well as devices.since. */
  readonly rooms: boolean;
  /** The poll asked for presence, too. Default: it did not. */
  readonly presence?: boolean;
  /** accounts.since that the poll was sent with; not compared unless `rooms`. */
  readonly accountSince: string | null;
  /** devices.since when the poll was sent. */
  readonly deviceSince: string | null;
  /** To-device messages in the response may be duplicates of stored ones: a room poller took over from another device. */
  readonly overlap: boolean;
  /** devices.key_uploads when the poll was sent: if it has changed, the response's key counts are out of date (T11). Absent: not compared. */
  readonly keyUploads?: number;
  /** Device-list changes that were requested in addition to the poll (T10). */
  readonly lists?: DeviceListChanges;
  /** The answer was requested without rooms (N4): these are the rooms that the user is in, to be read one by one. Default: none. */
  readonly toRead?: readonly RoomId[];
  /** The response's body. */
  readonly text: string;
  /** When it arrived, ms. */
  readonly now: number;
};

/** What a batch changed, for wake-ups. */
export type BatchNews = { readonly kinds: ReadonlySet<WakeKind>; readonly rooms: ReadonlySet<RoomId> };

/** What could not be stored of a response (N3). `error` describes the failure without any content. */
export type SetAside = { readonly error: string; readonly parts: number; readonly rooms: readonly RoomId[] };

/**
 * - stored: it is committed, except for what `setAside` names. `toDevice`: the response had to-device messages (duplicates included).
 * - stale: since is not what the poll was sent with, or the lease is not ours. Nothing was written: stop and reload.
 */
export type IngestResult =
  | {
      readonly kind: "stored";
      readonly position: Position;
      readonly nextBatch: string;
      readonly news: BatchNews;
      readonly toDevice: boolean;
      /** Its key counts were from before an upload, and were not stored (T11). */
      readonly countsAreOld: boolean;
      /** Number of known rooms of which events were left out. */
      readonly gaps: number;
      /** What events of its timelines replaced and nothing brought (T21). */
      readonly replaced: readonly ReplacedState[];
      /** Null if it brought no rooms, or is not simply a continuation of what is stored. */
      readonly batch: StoredBatch | null;
      /** Null: all of it was stored. */
      readonly setAside: SetAside | null;
    }
  | { readonly kind: "stale" };
