/**
 * Where simplified sliding sync is answered otherwise than by Synapse, and why. Everything else is the same. Paths are those of
 * `answer-tree.ts`; the rules that are named stand in docs/CONFORMANCE.md.
 */

import type { IntendedDifference } from "./tree-difference.ts";

/** The topic of requests with a wildcard for types that do not ask for every event of them. */
export const NARROWED = "state of every type, but not every event of it";

/** The topic of requests whose extensions name lists and rooms. */
export const SCOPES = "lists and rooms of extensions";

/** Rooms that alice joins, or is invited to, while it is looked. */
const JOINED = new Set(["not joined", "left", "forgotten", "invite", "invite encrypted", "knocked"]);
const withoutJoined = (order: unknown) => (order as string[]).filter((label) => !JOINED.has(label));

const isNumber = (value: unknown) => typeof value === "number";
const isEmpty = (value: unknown) =>
  typeof value === "object" && value !== null && Object.values(value).every((part) => Object.keys(part as object).length === 0);
const isLeave = (event: unknown) =>
  ["leave", "ban"].includes((event as { content?: { membership?: string } } | undefined)?.content?.membership ?? "");

export const INTENDED_DIFFERENCES: readonly IntendedDifference[] = [
  {
    path: "rooms/*/notification_count",
    when: (native, ours) => native === 0 && isNumber(ours),
    why: "M27: Synapse always says 0, we what v2 says.",
  },
  {
    path: "rooms/*/highlight_count",
    when: (native, ours) => native === 0 && isNumber(ours),
    why: "M27: as above.",
  },
  {
    path: "rooms/*/notification_count",
    when: (native, ours) => native === 0 && ours === undefined,
    why: "M27, M31: there are none of a room that the user is not in.",
  },
  {
    path: "rooms/*/highlight_count",
    when: (native, ours) => native === 0 && ours === undefined,
    why: "M27, M31: as above.",
  },
  {
    path: "rooms/*/heroes",
    when: (native, ours) => Array.isArray(native) && ours === undefined,
    why: "M25: Synapse sends them of rooms with a name as well when a membership changes, and when none of them has changed.",
  },
  {
    path: "rooms/*/heroes",
    when: (native, ours) => native === undefined && Array.isArray(ours),
    why: "M25: a room whose name was removed has them from then on; Synapse sends them when the next membership changes.",
  },
  {
    path: "rooms/*/avatar",
    when: (native, ours) => native === undefined && ours === null,
    why: "M24: the avatar was removed, which Synapse does not say.",
  },
  {
    path: "rooms/*/joined_count",
    when: (native, ours) => isNumber(native) && ours === undefined,
    why: "M26: Synapse sends it with every member event, we when it changes.",
  },
  {
    path: "rooms/*/invited_count",
    when: (native, ours) => isNumber(native) && ours === undefined,
    why: "M26: as above.",
  },
  {
    path: "rooms/*/required_state/*/unsigned/membership",
    when: (native) => native === undefined,
    why: "MSC4115: v2 says of each event how the user stood to the room; Synapse leaves it out of this part of this endpoint.",
  },
  {
    path: "rooms/*/required_state/*/room_id",
    when: (_, ours) => ours === undefined,
    why: "M44: Synapse forgets to take it out of the m.room.create event of rooms of version 12.",
  },
  {
    path: "rooms/*/timeline/events/*/room_id",
    when: (_, ours) => ours === undefined,
    why: "M44: as above.",
  },
  {
    path: "rooms/*/required_state/*",
    when: (native, ours) => native === undefined && isLeave(ours),
    why: "M32: who has left is told so, whether asked for or not; a client takes a room for joined otherwise.",
  },
  {
    path: "rooms/*/required_state",
    when: (native, ours) => native === undefined && Object.values(ours as object).every(isLeave),
    why: "M32: as above.",
  },
  {
    path: "rooms/*/required_state/**",
    topic: NARROWED,
    when: (_, ours) => ours === undefined,
    why: "M38: Synapse tells all state where any type is asked for.",
  },
  ...["kicked", "banned", "unbanned", "joined late, hidden past"].map((label) => ({
    path: `rooms/${label}/timeline/**`,
    why: "v2 tells of the present state in a timeline, and of what ends a ban; Synapse does not, here.",
  })),
  {
    path: "rooms/*/required_state/**",
    topic: NARROWED,
    when: (native) => native === undefined,
    why: "M38: as above; what Synapse has told already is told when it is asked for.",
  },
  {
    path: "rooms/unbanned/required_state/*",
    when: (native) => native === undefined,
    why: "Who ended the ban, as a lazy member.",
  },
  {
    path: "rooms/*/timeline/events/*/unsigned/m.relations",
    when: (_, ours) => ours === undefined,
    why: "v2 bundles relations in timelines that are limited themselves.",
  },
  {
    path: "rooms/invite withdrawn/required_state/*",
    when: (_, ours) => ours === undefined,
    why: "M31: Synapse tells the state of a room that the user has never been in, v2 does not.",
  },
  {
    path: "rooms/invite withdrawn/name",
    when: (_, ours) => ours === undefined,
    why: "M31: as above.",
  },
  {
    path: "rooms/invite withdrawn/limited",
    when: (native, ours) => native === true && ours === false,
    why: "M31: as above.",
  },
  {
    path: "rooms/with an ignored user/timeline/**",
    why: "M34: Synapse counts the messages of ignored users among those that it has told.",
  },
  {
    path: "rooms/with an ignored user/limited",
    why: "M34: as above.",
  },
  {
    path: "rooms/with an ignored user/required_state/*",
    when: (native) => native === undefined,
    why: "M34: as above; the lazy members of the message in its place.",
  },
  {
    path: "order by bump_stamp",
    when: (native, ours) => JSON.stringify(withoutJoined(native)) === JSON.stringify(withoutJoined(ours)),
    why: "M28: what was in a room before one joined it has come with the join; where it stood to other rooms v2 does not say.",
  },
  ...["account_data", "receipts"].map((name) => ({
    path: `extensions/${name}/rooms/*`,
    topic: SCOPES,
    when: (_: unknown, ours: unknown) => ours === undefined,
    why: "M45: Synapse takes `*` for rooms, which is the default, for all rooms of the lists as well.",
  })),
  {
    path: "extensions/account_data/rooms/*",
    when: (native, ours) => isEmpty(native) && ours === undefined,
    why: "Synapse names rooms without account data, too.",
  },
  {
    path: "extensions/e2ee/device_lists",
    when: (native, ours) => isEmpty(native) && ours === undefined,
    why: "Synapse says that no devices have changed.",
  },
  {
    path: "lists/*/ops",
    when: (native) => Array.isArray(native) && native.length === 0,
    why: "M11: without ranges all rooms are in the window, which Synapse does not say.",
  },
  {
    path: "lists/*/ops/0/range",
    why: "M11: with slow_get_all_rooms the window is the whole list, which Synapse does not say.",
  },
  { path: "refused/a timeline_limit that is too high/errcode", why: "M8: the type is right, the value out of bounds." },
  { path: "refused/a list without a timeline_limit/**", why: "M8: clients leave it out." },
  { path: "refused/a list without a required_state/**", why: "M8: clients leave it out." },
  { path: "refused/a required_state that is not of pairs/errcode", why: "M8: nothing is missing, it is of the wrong type." },
];
