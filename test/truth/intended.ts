/**
 * Where we answer otherwise than the homeserver, and why. Paths are those of compare.ts: face, `fresh` or `live`, then what; `native` is its
 * own sliding sync held against our unstable dialect. `topic`: a trait of the room or of the history.
 */

import { BY_IGNORED } from "./compare.ts";
import { IN_A_THREAD } from "./room-trees.ts";
import type { IntendedDifference } from "../support/tree-difference.ts";

/** Each is met in a run or goes; those with `sometimes` in long runs. */
export const INTENDED: readonly IntendedDifference[] = [
  {
    path: "native/rooms/*/fields/{notification_count;highlight_count}",
    when: (theirs, ours) => theirs === 0 && typeof ours === "number",
    why: "M27: Synapse always says 0, we what v2 says.",
  },
  {
    path: "{v3;unstable;v4;native}/**",
    when: (theirs, ours) => theirs === undefined && JSON.stringify(ours) === '{"m.tag":{"tags":{}}}',
    why: "M49: v2 has said that there are no tags any more, which it does not say from scratch.",
  },
  {
    path: "*/{fresh;live}/account_data/rooms/*/m.tag",
    when: (theirs, ours) => theirs === undefined && JSON.stringify(ours) === '{"tags":{}}',
    sometimes: true,
    why: "M49: as above.",
  },
  {
    path: "native/account_data/rooms/*/m.tag",
    when: (theirs, ours) => theirs === undefined && JSON.stringify(ours) === '{"tags":{}}',
    sometimes: true,
    why: "M49: as above.",
  },
  {
    path: "*/fresh/rooms/*/events/*/relations/m.thread/current_user_participated",
    when: (theirs, ours) => typeof theirs === "boolean" && typeof ours === "boolean",
    sometimes: true,
    why: "Synapse caches whether a user participated in a thread, and sends what was so when the user first asked (findings/synapse-thread-participation.sh).",
  },
  {
    path: "native/rooms/*",
    when: (theirs, ours) => ["ban", "leave"].includes(String(theirs)) && ours === undefined,
    sometimes: true,
    why: "M9: a room that the user was banned from without having been in is in no list.",
  },
  ...["deleted", "forgotten"].map((topic) => ({
    path: "native/rooms/*",
    topic,
    when: (theirs: unknown, ours: unknown) => theirs === undefined && ["ban", "leave"].includes(String(ours)),
    sometimes: true as const,
    why: "M9: v2 does not say that a room which the user was removed from is forgotten or deleted, so it stays in lists.",
  })),
  {
    path: "{unstable;v4}/live/rooms/*",
    when: (theirs, ours) => theirs === undefined && ours === BY_IGNORED,
    sometimes: true,
    why: "M18: an invite that was sent before its sender was ignored: sliding sync, like v2, has no word for taking it back without leaving.",
  },
  {
    path: "unstable/live/rooms/*/fields/name",
    when: (theirs, ours) => theirs === undefined && typeof ours === "string",
    sometimes: true,
    why: "M24: the unstable dialect has no word for a name that was removed; clients read it from the state.",
  },
  {
    path: "*/{fresh;live}/rooms/*/typing",
    topic: "restarted",
    sometimes: true,
    why: "S1: Synapse forgets who types when it starts anew, and numbers typing from 1 again: v2 does not say who stops, nor, to a since from before, who begins.",
  },
  {
    path: "*/{fresh;live}/rooms/*/receipts/*",
    topic: "threaded receipts",
    when: (theirs, ours) => typeof theirs === "string" && (ours === undefined || ours === `${IN_A_THREAD}: ${theirs}`),
    sometimes: true,
    why: "T9: an answer has one receipt of a user and an event: the unthreaded one, where v2 may have the threaded one.",
  },
  {
    path: "*/{fresh;live}/rooms/*/receipts/*",
    topic: "threaded receipts",
    when: (theirs, ours) => theirs === undefined && typeof ours === "string",
    sometimes: true,
    why: "T9: Synapse's first answers leave out a threaded receipt beside an unthreaded one, also beside a private one that nobody else is told of.",
  },
  {
    path: "*/{fresh;live}/rooms/*/fields/{notification_count;highlight_count}",
    topic: "purged",
    when: (theirs, ours) => typeof theirs === "number" && typeof ours === "number",
    sometimes: true,
    why: "M27: Synapse no longer counts events that were purged, and v2 does not say so.",
  },
  {
    path: "native/rooms/*/**",
    topic: "purged",
    sometimes: true,
    why: "M32: of a room that the user was removed from, and whose history was purged since, Synapse's own sliding sync has no state.",
  },
  ...["events", "state"].map((part) => ({
    path: `{v3;unstable;v4}/{fresh;live}/rooms/*/${part}/*/content/*`,
    topic: "restored",
    when: (theirs: unknown, ours: unknown) => theirs !== undefined && ours === undefined,
    sometimes: true as const,
    why: "S4: what was redacted stays so for everybody, also if the redaction was lost with a backup.",
  })),
  {
    path: "*/{fresh;live}/rooms/*/receipts/*",
    topic: "joined later",
    when: (theirs, ours) => typeof theirs === "string" && ours === undefined,
    sometimes: true,
    why: "S8: Synapse's v2 does not tell who comes into a room of the receipts that are there already (findings/synapse-receipts-before-join.sh).",
  },
  {
    path: "*/{fresh;live}/rooms/*/typing",
    topic: "joined later",
    when: (theirs) => Array.isArray(theirs) && theirs.length > 0,
    sometimes: true,
    why: "S1: as above, of who types.",
  },
  {
    path: "{v3;unstable;v4}/{fresh;live}/rooms/*/{events;state}/*/content/*",
    topic: "a user was erased",
    when: (theirs, ours) => theirs === undefined && ours !== undefined,
    sometimes: true,
    why: "T6: Synapse cuts what an erased user wrote or was named, and v2 does not say so to those who have it.",
  },
];
