/** A `GET /sync` (v2) response, cut into parts that are stored as received. Spec: client-server API, "Syncing". */

import { isObject } from "./identifier.ts";
import type { RoomId, UserId } from "./ids.ts";
import { isStorable } from "./ids.ts";
import { copyText, eachMember, expectEnd, JsonSyntaxError, skipSpace, skipValue } from "./json-scan.ts";
import { keyTypesText, reportedCountsText } from "./key-counts.ts";
import { isRoomId, isUserId } from "./matrix-id.ts";
import { cutUpdates, type ProfileUpdates } from "./profile.ts";
import type { PartReader, PartReading, Skipped } from "./v2-part.ts";
import { parseValue, readEvents, readMap, readMembers, readUserIds, skip } from "./v2-part.ts";
import type { AccountDataItem, V2JoinedRoom, StrippedRoom } from "./v2-room.ts";
import { readAccountData, readJoinedRoom, readStrippedRoom } from "./v2-room.ts";

export type { Ephemeral, Receipt } from "./v2-ephemeral.ts";
export type { Skipped } from "./v2-part.ts";
export type { AccountDataItem, V2JoinedRoom, StrippedEvent, StrippedRoom } from "./v2-room.ts";

/** A presence event: its user, and its own text. */
export type PresenceItem = { readonly user_id: UserId; readonly body: string };

export type V2Response = {
  readonly next_batch: string;
  /** Global account data, one of each type. */
  readonly accountData: AccountDataItem[];
  /** One of each user, the last. */
  readonly presence: PresenceItem[];
  /** What changed of users' profiles (MSC4429); null: the user shares no room with the account any more. */
  readonly profiles: Map<UserId, ProfileUpdates | null>;
  /** Byte for byte, oldest first. */
  readonly toDevice: string[];
  readonly deviceLists: { readonly changed: UserId[]; readonly left: UserId[] };
  /** device_one_time_keys_count, an object's text (see reportedCountsText); null: absent. */
  readonly oneTimeKeys: string | null;
  /** device_unused_fallback_key_types, a list's text (see keyTypesText); null: absent. */
  readonly fallbackKeys: string | null;
  readonly join: Map<RoomId, V2JoinedRoom>;
  readonly leave: Map<RoomId, V2JoinedRoom>;
  readonly invite: Map<RoomId, StrippedRoom>;
  readonly knock: Map<RoomId, StrippedRoom>;
  /** What had to be left out; nothing around it is lost (B37). */
  readonly skipped: Skipped[];
};

/** The form that Synapse sends. */
const NEXT_BATCH_FIRST = /^\s*\{\s*"next_batch"\s*:\s*"([^"\\]*)"/;

/** `next_batch` of a v2 response; "" if it has none. */
export function nextBatchOf(text: string): string {
  const first = NEXT_BATCH_FIRST.exec(text)?.[1];
  if (first !== undefined) return first;
  let found: unknown = "";
  if (/^\s*\{/.test(text))
    eachMember(text, text.indexOf("{"), (key, from, to) => void (key === "next_batch" && (found = JSON.parse(text.slice(from, to)))));
  return typeof found === "string" ? found : "";
}

/** The text is not a v2 response: not JSON (it may have been truncated), not an object, or without a next_batch. */
export class BadResponse extends Error {
  override readonly name = "BadResponse";
}

/**
 * Cuts a v2 response. `now` is when it arrived, ms. Values of a wrong type are left out and listed in `skipped`; nothing in the result keeps
 * `text` alive.
 * @throws BadResponse
 */
export function cutResponse(text: string, now: number): V2Response {
  try {
    return readResponse({ text, now, skipped: [] });
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new BadResponse(`the answer is not JSON: ${error.message}`, { cause: error });
    throw error;
  }
}

function readResponse(r: PartReading): V2Response {
  const start = skipSpace(r.text, 0);
  if (r.text.charAt(start) !== "{") {
    expectEnd(r.text, skipValue(r.text, start));
    throw new BadResponse("the answer is not a JSON object");
  }
  let nextBatch: unknown;
  let oneTimeKeys: string | null = null;
  let fallbackKeys: string | null = null;
  let oldFallbackKeys: string | null = null;
  const accountData: AccountDataItem[] = [];
  const presence = new Map<UserId, PresenceItem>();
  const profiles = new Map<UserId, ProfileUpdates | null>();
  const toDevice: string[] = [];
  const deviceLists = { changed: new Array<UserId>(), left: new Array<UserId>() };
  const join = new Map<RoomId, V2JoinedRoom>();
  const leave = new Map<RoomId, V2JoinedRoom>();
  const invite = new Map<RoomId, StrippedRoom>();
  const knock = new Map<RoomId, StrippedRoom>();
  const end = readMembers(r, start, "", {
    next_batch: (at) => {
      const parsed = parseValue(r, at);
      nextBatch = parsed.value;
      return parsed.end;
    },
    account_data: (at, where) => readEvents(r, at, where, (item, path) => readAccountData(r, item, path, accountData)),
    presence: (at, where) => readEvents(r, at, where, (item, path) => readPresence(r, item, path, presence)),
    "org.matrix.msc4429.users": (at, where) => readMap(r, at, where, isUserId, (user, value, path) => readProfile(r, value, path, user, profiles)),
    to_device: (at, where) => readEvents(r, at, where, (item, path) => readToDevice(r, item, path, toDevice)),
    device_lists: (at, where) =>
      readMembers(r, at, where, {
        changed: (list, path) => readUserIds(r, list, path, (ids) => (deviceLists.changed = ids)),
        left: (list, path) => readUserIds(r, list, path, (ids) => (deviceLists.left = ids)),
      }),
    device_one_time_keys_count: textOf(r, "{", (body) => (oneTimeKeys = reportedCountsText(body))),
    device_unused_fallback_key_types: textOf(r, "[", (body) => (fallbackKeys = keyTypesText(body))),
    // The name before Matrix 1.2.
    "org.matrix.msc2732.device_unused_fallback_key_types": textOf(r, "[", (body) => (oldFallbackKeys = keyTypesText(body))),
    rooms: (at, where) =>
      readMembers(r, at, where, {
        join: roomsOf(r, (id, room, path) => readJoinedRoom(r, room, path, (cut) => join.set(id, cut))),
        leave: roomsOf(r, (id, room, path) => readJoinedRoom(r, room, path, (cut) => leave.set(id, cut))),
        invite: roomsOf(r, (id, room, path) => readStrippedRoom(r, room, path, "invite_state", (cut) => invite.set(id, cut))),
        knock: roomsOf(r, (id, room, path) => readStrippedRoom(r, room, path, "knock_state", (cut) => knock.set(id, cut))),
      }),
  });
  expectEnd(r.text, end);
  if (typeof nextBatch !== "string" || !isStorable(nextBatch)) throw new BadResponse("the answer has no next_batch");
  return {
    next_batch: nextBatch,
    accountData,
    presence: [...presence.values()],
    profiles,
    toDevice,
    deviceLists,
    oneTimeKeys,
    fallbackKeys: fallbackKeys ?? oldFallbackKeys,
    join,
    leave,
    invite,
    knock,
    skipped: r.skipped,
  };
}

function roomsOf(r: PartReading, read: (id: RoomId, start: number, where: string) => number): PartReader {
  return (start, where) => readMap(r, start, where, isRoomId, read);
}

/** Passes the text of a value that begins with `first` to `keep`. */
function textOf(r: PartReading, first: "{" | "[", keep: (text: string) => void): PartReader {
  return (start, where) => {
    if (r.text.charAt(start) !== first) return skip(r, start, where, first === "{" ? "not an object" : "not a list");
    const end = skipValue(r.text, start);
    keep(copyText(r.text.slice(start, end)));
    return end;
  };
}

function readToDevice(r: PartReading, start: number, where: string, into: string[]): number {
  return textOf(r, "{", (text) => into.push(text))(start, where);
}

function readPresence(r: PartReading, start: number, where: string, into: Map<UserId, PresenceItem>): number {
  const { value, text, end } = parseValue(r, start);
  const { type, sender, content } = isObject(value) ? value : {};
  if (isUserId(sender) && typeof type === "string" && type.isWellFormed() && isObject(content)) into.set(sender, { user_id: sender, body: text });
  else r.skipped.push({ where, reason: "not a presence event" });
  return end;
}

function readProfile(r: PartReading, start: number, where: string, user: UserId, into: Map<UserId, ProfileUpdates | null>): number {
  if (r.text.charAt(start) === "n") {
    into.set(user, null);
    return skipValue(r.text, start);
  }
  return readMembers(r, start, where, {
    profile_updates: (at, path) => {
      const isGone = r.text.charAt(at) === "n";
      if (isGone) into.set(user, null);
      return isGone ? skipValue(r.text, at) : textOf(r, "{", (text) => into.set(user, cutUpdates(text)))(at, path);
    },
  });
}
