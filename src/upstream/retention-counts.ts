/** What a run of retention counts. */

import type { Deleted } from "../store/retention/account.ts";

const KINDS = [
  "sessions",
  "purged",
  "folded",
  "marks",
  "horizons",
  "accounts_swept",
  "timeline",
  "older",
  "state",
  "members",
  "facts",
  "invites",
  "profiles",
  "feed",
  "left_rooms",
  "left_room_rows",
  "expired",
  "events",
  "session_states",
  "session_pages",
  "list_snapshots",
  "to_device",
  "to_device_passed",
  "passed_batches",
  "sent_events",
  "tokens",
  "devices",
  "accounts",
  "presence",
  "poison",
  "sticky_events",
] as const;

/** What is counted: rows deleted, or for `horizons`, `accounts_swept` and `left_rooms` how many of them changed. */
export type RetentionKind = (typeof KINDS)[number];

export type RetentionCounts = Record<RetentionKind, number>;

export function noCounts(): RetentionCounts {
  return Object.fromEntries(KINDS.map((kind) => [kind, 0])) as RetentionCounts;
}

export function add(counts: RetentionCounts, kind: RetentionKind, deleted: Deleted): void {
  counts[kind] += deleted.rows;
  counts.events += deleted.events;
}
