/** What is handed to the ingest, and what comes of it. */

import type { WakeKind } from "../../feed/hub.ts";
import type { StoredBatch } from "../../store/ingest/row-types.ts";
import type { DeviceListChanges } from "./device-lists.ts";
import type { AccountNo, DeviceNo, Position, RoomId, UserId } from "../../wire/ids.ts";

/** One v2 response, and what the poll that got it was asked with. */
export type IngestInput = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** The account's own user id. */
  readonly userId: UserId;
  /** The epoch of the lease that the poller holds; null: it holds none, none is checked. */
  readonly epoch: number | null;
  /** The poll carried rooms: the response advances accounts.since as well as devices.since. */
  readonly rooms: boolean;
  /** accounts.since that the poll was asked with; not compared unless `rooms`. */
  readonly accountSince: string | null;
  /** devices.since that was known when the poll was asked. */
  readonly deviceSince: string | null;
  /** To-device messages in the response may be doubles of stored ones: a room poller that took over from another device. */
  readonly overlap: boolean;
  /** devices.key_uploads when the poll was sent: where it is another now, the response's key counts are old (T11). Absent: not compared. */
  readonly keyUploads?: number;
  /** Device-list changes that were asked for beside the poll (T10). */
  readonly lists?: DeviceListChanges;
  /** The answer was asked for without rooms (N4): these are the ones that the user is in, to be read one by one. Default: none. */
  readonly toRead?: readonly RoomId[];
  /** The response's body. */
  readonly text: string;
  /** When it came, ms. */
  readonly now: number;
};

/** What a batch changed, for wake-ups. */
export type BatchNews = { readonly kinds: ReadonlySet<WakeKind>; readonly rooms: ReadonlySet<RoomId> };

/** What could not be stored of a response (N3). `error` names the failure without any content. */
export type SetAside = { readonly error: string; readonly parts: number; readonly rooms: readonly RoomId[] };

/**
 * - stored: it is committed, but for what `setAside` names. `toDevice`: the response held to-device messages (doubles included).
 * - stale: since was not what the poll was asked with, or the lease is not ours. Nothing was written: stop and reload.
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
      /** Rooms that were known, and of which events were left out. */
      readonly gaps: number;
      /** Null where it brought no rooms, or is more than what follows what was there. */
      readonly batch: StoredBatch | null;
      /** Null: all of it was stored. */
      readonly setAside: SetAside | null;
    }
  | { readonly kind: "stale" };
