/**
 * Where simplified sliding sync is answered otherwise than by Synapse, and why. Everything else is the same. Paths are those of
 * `answer-tree.ts`; the rules that are named stand in docs/CONFORMANCE.md.
 */

import { EXACT, UNREADABLE } from "./server-pair.ts";
import type { IntendedDifference } from "./tree-difference.ts";

/** The topic of requests with a wildcard for types that do not ask for every event of them. */
export const NARROWED = "state of every type, but not every event of it";

/** The topic of requests for all rooms, whatever the window. */
export const ALL_ROOMS = "all rooms";

/** The topic of requests for more of a room from one to the next. */
export const MORE = "more of a room";

/** The topic of requests whose extensions name lists and rooms. */
export const SCOPES = "lists and rooms of extensions";

/** The topic of requests for direct rooms, and for others. */
const DIRECT = "direct rooms";

/** The topic of requests for more events than v2 has told of the rooms in a list. */
const LONG = "long timelines";

/** What a request of one list is about, where that matters. */
export function topicOf(body: Readonly<Record<string, unknown>>): string | undefined {
  const text = JSON.stringify(body);
  if (text.includes('"is_dm"')) return DIRECT;
  return /"timeline_limit":(50|100)\b/.test(text) ? LONG : undefined;
}

/** Rooms that alice joins, or is invited to, while she is connected. */
const JOINED = new Set(["not joined", "left", "forgotten", "invite", "invite encrypted", "knocked"]);
/** Rooms of which an invite was all that alice ever had. */
const NEVER_JOINED = "{invite withdrawn;invite to space;invite while connected;gone}";

type When = NonNullable<IntendedDifference["when"]>;

const onlyNative: When = (_, ours) => ours === undefined;
const onlyOurs: When = (native) => native === undefined;
const isNumber = (value: unknown) => typeof value === "number";
const membershipOf = (event: unknown) => (event as { content?: { membership?: string } } | undefined)?.content?.membership;
const isMember = (event: unknown) => membershipOf(event) !== undefined;
const isLeave = (event: unknown) => ["leave", "ban"].includes(membershipOf(event) ?? "");
const hasOnly = (is: (event: unknown) => boolean, branch: unknown) => Object.values(branch as object).every(is);
const withoutJoined = (order: unknown) => JSON.stringify((order as string[]).filter((label) => !JOINED.has(label)));

/** A room's entry that says what is never absent, and nothing that has happened there. */
function isCountsAlone(room: unknown): boolean {
  const { is_dm: _dm, notification_count, highlight_count, limited, prev_batch: _batch, num_live, ...rest } = room as Record<string, unknown>;
  return isNumber(notification_count) && isNumber(highlight_count) && limited === false && num_live === 0 && Object.keys(rest).length === 0;
}

function isInviteAgain(room: unknown): boolean {
  const { invite_state, initial } = room as Record<string, unknown>;
  return invite_state !== undefined && initial === undefined;
}

export const INTENDED_DIFFERENCES: readonly IntendedDifference[] = [
  // ---- Fields of a room
  ...["notification_count", "highlight_count"].flatMap((name) => [
    {
      path: `rooms/*/${name}`,
      when: (native: unknown, ours: unknown) => native === 0 && isNumber(ours),
      why: "M27: Synapse always says 0, we what v2 says.",
    },
    {
      path: `rooms/*/${name}`,
      when: (native: unknown, ours: unknown) => native === 0 && ours === undefined,
      why: "M27, M31: there are none of a room that the user is not in.",
    },
  ]),
  {
    path: "rooms/*",
    when: (native, ours) => native === undefined && isCountsAlone(ours),
    why: "M27, M29: the counts have changed, or whether it is direct.",
  },
  { path: "rooms/*/is_dm", when: onlyNative, why: "M29: told when the room is told whole, and when it changes; Synapse says it each time." },
  {
    path: "rooms/*/heroes",
    when: onlyNative,
    why: "M25: Synapse sends them of rooms with a name as well when a membership changes, and when none of them has changed.",
  },
  {
    path: "rooms/*/heroes",
    when: onlyOurs,
    why: "M25: a room whose name was removed has them from then on; Synapse sends them when the next membership changes.",
  },
  { path: "rooms/*/avatar", when: (native, ours) => native === undefined && ours === null, why: "M24: it was removed, which Synapse does not say." },
  ...["joined_count", "invited_count"].map((name) => ({
    path: `rooms/*/${name}`,
    when: onlyNative,
    why: "M26: told when it changes; Synapse says it with every member event.",
  })),
  { path: "rooms/*/avatar", topic: MORE, when: onlyNative, why: "M24: Synapse says it again when its event is asked for newly." },
  {
    path: "rooms/{kicked;unbanned;invite withdrawn;invite to space;gone}/prev_batch",
    when: (native, ours) => native !== EXACT && ours === EXACT,
    why: "T20: of rooms that the user has left, Synapse's leads to less than what the user may read of what is older.",
  },
  {
    path: "rooms/left/prev_batch",
    when: (native, ours) => [native, ours].some((place) => String(place).startsWith("refused")),
    sometimes: true,
    why: "Each token is tried once. By the time that the other side's first comes, alice is banned, and may read nothing.",
  },
  {
    path: "rooms/joined late, hidden past/prev_batch",
    when: (native, ours) => native === EXACT && ours === UNREADABLE,
    why: "T20: v2's timeline has state events from before the join, which /messages withholds from the user: it cannot be told what is older.",
  },
  { path: "rooms/*/bump_stamp", when: onlyNative, why: "M28: told when it changes; Synapse says it with whatever it tells." },
  {
    path: "order by bump_stamp",
    when: (native, ours) => withoutJoined(native) === withoutJoined(ours),
    why: "M28: what was in a room before one joined it has come with the join; where it stood to other rooms v2 does not say.",
  },

  // ---- Events
  {
    path: "rooms/*/required_state/*/unsigned/membership",
    when: onlyOurs,
    why: "MSC4115: v2 says of each event how the user stood to the room; Synapse leaves it out of this part of this endpoint.",
  },
  ...["required_state", "timeline/events"].map((name) => ({
    path: `rooms/*/${name}/*/room_id`,
    when: onlyNative,
    why: "M44: Synapse forgets to take it out of the m.room.create event of rooms of version 12.",
  })),
  ...["m.replace", "m.thread/latest_event"].map((part) => ({
    path: `rooms/*/timeline/events/*/unsigned/m.relations/${part}/unsigned/membership`,
    when: onlyOurs,
    why: "T7: a bundled event is as it came in a timeline.",
  })),

  // ---- State
  {
    path: "rooms/*/required_state/*",
    when: (native, ours) => native === undefined && isLeave(ours),
    why: "M32: who has left is told so, whether asked for or not; a client takes a room for joined otherwise.",
  },
  { path: "rooms/*/required_state", when: (native, ours) => native === undefined && hasOnly(isLeave, ours), why: "M32: as above." },
  {
    path: "rooms/*/required_state/*",
    when: (native, ours) => native === undefined && isMember(ours),
    why: "M39: lazy members are told anew after a gap, and in a room that is told whole again.",
  },
  { path: "rooms/*/required_state", when: (native, ours) => native === undefined && hasOnly(isMember, ours), why: "M39: as above." },
  { path: "rooms/*/required_state/**", topic: NARROWED, when: onlyNative, why: "M38: Synapse tells all state where any type is asked for." },
  { path: "rooms/*/required_state/*", topic: MORE, when: onlyNative, why: "M40: told once; Synapse tells it again when a wildcard is new." },

  // ---- Timelines
  {
    path: "rooms/{kicked;banned;unbanned;left;joined late, hidden past}/timeline/**",
    why: "v2 tells of the present state in a timeline, and of what ends a ban; Synapse does not, here.",
  },
  {
    path: "rooms/with an ignored user/{timeline;limited}/**",
    why: "M34: Synapse counts the messages of ignored users among those that it has told.",
  },

  ...["timeline/**", "limited"].map((part) => ({
    path: `rooms/*/${part}`,
    topic: LONG,
    why: "M34: of listed rooms we have what v2 has told, 20 events at first; of opened ones older history up to the m.room.create event.",
  })),
  {
    path: "rooms/*/required_state/*",
    topic: LONG,
    when: (native, ours) => ours === undefined && isMember(native),
    why: "M39: senders of those events.",
  },
  {
    path: "rooms/{new;not joined;left;joined late, hidden past;forgotten}/limited",
    when: (native, ours) => native !== ours,
    why: "M34: of a room that is joined, v2 says itself whether there is more.",
  },
  {
    path: "rooms/long/num_live",
    when: (native, ours) => Number(native) > Number(ours),
    why: "M34: what came before one joined again has not just occurred.",
  },
  ...["redacted_because/unsigned", "redacted_because/room_id", "redacted_by"].map((part) => ({
    path: `rooms/*/timeline/events/*/unsigned/${part}`,
    why: "M44: the redaction came later, and was put there by us.",
  })),

  // ---- Rooms that the user is not in
  {
    path: "rooms/{unbanned;kicked;banned;left}/required_state/*",
    when: (native, ours) => ours === undefined && isMember(native),
    why: "M39: v2 has not told of members of a room that one is not in.",
  },
  {
    path: "rooms/{invite;invite as dm;invite encrypted;invite to space;invite while connected;knocked}/name",
    when: onlyNative,
    why: "M31: it stands in the stripped state.",
  },
  {
    path: `rooms/${NEVER_JOINED}/required_state/**`,
    when: onlyNative,
    why: "M31: Synapse tells the state of a room that the user has never been in, v2 does not.",
  },
  { path: `rooms/${NEVER_JOINED}/limited`, when: (native, ours) => native === true && ours === false, why: "M31: as above." },
  {
    path: "rooms/*",
    when: (native, ours) => ours === undefined && isInviteAgain(native),
    why: "M31: Synapse tells an invite again when something has happened in the room.",
  },

  // ---- Extensions
  ...["account_data", "receipts"].map((name) => ({
    path: `extensions/${name}/rooms/*`,
    topic: SCOPES,
    when: onlyNative,
    why: "M45: Synapse takes `*` for rooms, which is the default, for all rooms of the lists as well.",
  })),
  {
    path: "extensions/account_data/rooms/*",
    when: (native, ours) => ours === undefined && Object.keys(native as object).length === 0,
    why: "M49: Synapse names rooms without account data, too.",
  },
  {
    path: "extensions/account_data/rooms/*/m.tag",
    when: (native, ours) => native === undefined && JSON.stringify(ours).includes('"tags":{}'),
    why: "M49: v2 has said that there are no tags any more, which Synapse says once only.",
  },
  {
    path: "extensions/typing/rooms/*",
    when: (native, ours) => ours === undefined && JSON.stringify(native).includes('"user_ids":[]'),
    why: "M51: who was never said to type need not be said to have stopped.",
  },
  {
    path: "extensions/e2ee/device_lists",
    when: (native, ours) => ours === undefined && JSON.stringify(native) === '{"changed":[],"left":[]}',
    why: "M48: Synapse says that no devices have changed.",
  },
  {
    path: "extensions/e2ee/device_lists/changed",
    when: (native, ours) => Array.isArray(native) && Array.isArray(ours) && native.every((user) => ours.includes(user)),
    sometimes: true,
    why: "T10: what any poll of the account has brought is sent to each of its devices; a list that is fetched in vain does no harm.",
  },

  // ---- Requests
  ...["lists/l/**", "rooms/{invite as dm;dm;dm invited to}"].map((path) => ({
    path,
    topic: DIRECT,
    why: "M12: an invite that calls itself direct is one, until it is answered.",
  })),
  {
    path: "{rooms;lists}/**",
    topic: ALL_ROOMS,
    why: "M11: without ranges, and with slow_get_all_rooms, all rooms are in the window. Synapse knows neither.",
  },
  { path: "refused/a timeline_limit that is too high/errcode", why: "M8: the type is right, the value out of bounds." },
  { path: "refused/a range that begins below zero/errcode", why: "M8: as above." },
  { path: "refused/a list without a timeline_limit/**", why: "M8: clients leave it out." },
  { path: "refused/a list without a required_state/**", why: "M8: clients leave it out." },
  { path: "refused/a required_state that is not of pairs/errcode", why: "M8: nothing is missing, it is of the wrong type." },
];
