/** How far an account and a device are: what every evaluation starts from. */

import type { Position, UserId } from "../wire/ids.ts";
import type { MessageRetention } from "../wire/message-retention.ts";
import type { Db } from "./db.ts";
import { pagesHere } from "./history.ts";
import { parseIgnored } from "./ignored.ts";
import { parseRetention, retentionColumn } from "./message-retention.ts";

export type AccountHead = {
  readonly userId: UserId;
  readonly position: Position;
  readonly complete: boolean;
  readonly ignored: readonly UserId[];
  /** The newest upstream token; "" before the first. */
  readonly upstreamSince: string;
  /** The stored presence is complete up to the last poll. */
  readonly presenceIsCurrent: boolean;
  /** See pagesHere. */
  readonly pagesHere: boolean;
  /** How long messages are shown (T4); null: for ever. */
  readonly retention: MessageRetention | null;
  /** devices.seq now. */
  readonly deviceSeq: number;
  /** How often a room was forgotten. */
  readonly forgotten: number;
  /** Fields of profiles that clients asked for: a JSON list. */
  readonly profilesWanted: string;
};

/** accountHeadColumns. */
export type StoredAccountHead = {
  user_id: UserId;
  position: Position;
  complete: boolean;
  ignored: string;
  since: string | null;
  presence_is_current: boolean;
  pages_here: boolean;
  retention: string | null;
  seq: number;
  forgotten: number;
  profiles_wanted: string;
};

/** For a query that has accounts as `a` and devices as `d`. */
export function accountHeadColumns(db: Db) {
  return db`a.user_id, a.position, a.complete, a.ignored, a.since, coalesce(a.presence_since = a.since, false) as presence_is_current, ${pagesHere(db)}, ${retentionColumn(db)}, d.seq, a.forgotten, a.profiles_wanted`;
}

export function accountHeadOf(row: StoredAccountHead): AccountHead {
  return {
    userId: row.user_id,
    position: row.position,
    complete: row.complete,
    ignored: parseIgnored(row.ignored),
    upstreamSince: row.since ?? "",
    presenceIsCurrent: row.presence_is_current,
    pagesHere: row.pages_here,
    retention: parseRetention(row.retention),
    deviceSeq: row.seq,
    forgotten: row.forgotten,
    profilesWanted: row.profiles_wanted,
  };
}
