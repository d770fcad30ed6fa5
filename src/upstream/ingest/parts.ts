/** The parts of a v2 response that can be stored independently: what cannot be stored is found and left out by part (N3). */

import { isObject } from "../../wire/identifier.ts";
import { indexKey } from "../../wire/index-key.ts";
import type { RoomId } from "../../wire/ids.ts";
import { eachElement, eachMember } from "../../wire/json-scan.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { KEY_COUNTS, messageHash } from "./plan-device.ts";

export type PartKind = "room" | "account_data" | "presence" | "to_device" | "device_list" | "key_counts";
/** `name`: a room id, the index key of a type (wire/index-key.ts), a user id, a message's hash; '' of key counts. */
export type Part = { readonly kind: PartKind; readonly name: string };

/** All parts of a response, beginning with what clients wait for most. A room is one part, with all its sections. */
export function partsOf(response: V2Response, rooms: boolean): Part[] {
  const part = (kind: PartKind) => (name: string) => ({ kind, name });
  const counts = response.oneTimeKeys !== null || response.fallbackKeys !== null ? [""] : [];
  const ofDevice = [
    ...response.toDevice.map(messageHash).map(part("to_device")),
    ...[...response.deviceLists.changed, ...response.deviceLists.left].map(part("device_list")),
    ...counts.map(part("key_counts")),
  ];
  if (!rooms) return unique(ofDevice);
  return unique([
    ...ofDevice,
    ...response.accountData.map(({ type }) => type).map(part("account_data")),
    ...roomsIn(response).map(part("room")),
    ...response.presence.map(({ user_id }) => user_id).map(part("presence")),
  ]);
}

/** Every room that has a section. */
export function roomsIn({ join, leave, invite, knock }: V2Response): RoomId[] {
  return [join, leave, invite, knock].flatMap((section) => [...section.keys()]);
}

function unique(parts: readonly Part[]): Part[] {
  return [...new Map(parts.map((part) => [keyOf(part), part])).values()];
}

export function keyOf({ kind, name }: Part): string {
  return `${kind} ${name}`;
}

/** The response with those parts alone. To-device messages all stay: the caller stores those that are not in `keep` as bytes. */
export function withParts(response: V2Response, keep: ReadonlySet<string>): V2Response {
  const has = (kind: PartKind, name: string) => keep.has(keyOf({ kind, name }));
  const roomsOf = <Section>(sections: ReadonlyMap<RoomId, Section>) => new Map([...sections].filter(([room]) => has("room", room)));
  const listed = <Id extends string>(users: readonly Id[]) => users.filter((user) => has("device_list", user));
  const counts = has("key_counts", "");
  // They are left out here; to report them as absent would mean that there are no keys (T12).
  const leftOut = response.oneTimeKeys === null || counts ? [] : [{ where: KEY_COUNTS, reason: "set aside" }];
  return {
    ...response,
    accountData: response.accountData.filter(({ type }) => has("account_data", type)),
    presence: response.presence.filter(({ user_id }) => has("presence", user_id)),
    deviceLists: { changed: listed(response.deviceLists.changed), left: listed(response.deviceLists.left) },
    oneTimeKeys: counts ? response.oneTimeKeys : null,
    fallbackKeys: counts ? response.fallbackKeys : null,
    join: roomsOf(response.join),
    leave: roomsOf(response.leave),
    invite: roomsOf(response.invite),
    knock: roomsOf(response.knock),
    skipped: [...response.skipped, ...leftOut],
  };
}

const SECTIONS: ReadonlySet<string> = new Set(["join", "leave", "invite", "knock"]);

/**
 * The text of a v2 response with that part alone, which can be cut like any other. Rooms, account data and presence have the bytes that the
 * homeserver sent.
 */
export function textOfPart(text: string, part: Part, response: V2Response): string {
  const section = part.kind === "room" ? roomText(text, part.name) : LISTS.has(part.kind) ? listText(text, part) : deviceText(part, response);
  return `{"next_batch":"set aside",${section}}`;
}

function roomText(text: string, room: string): string {
  const sections: string[] = [];
  eachMember(text, 0, (key, rooms) => {
    if (key !== "rooms" || text[rooms] !== "{") return;
    eachMember(text, rooms, (section, inSection) => {
      if (!SECTIONS.has(section) || text[inSection] !== "{") return;
      eachMember(text, inSection, (id, start, end) => {
        if (id === room) sections.push(`"${section}":{${JSON.stringify(room)}:${text.slice(start, end)}}`);
      });
    });
  });
  return `"rooms":{${sections.join()}}`;
}

/** Lists of events, and which member of an event names a part. */
const LISTS: ReadonlyMap<string, string> = new Map([
  ["account_data", "type"],
  ["presence", "sender"],
]);

function listText(text: string, { kind, name }: Part): string {
  const matching: string[] = [];
  const keep = (from: number, to: number) => {
    const event: unknown = JSON.parse(text.slice(from, to));
    const named = isObject(event) ? event[LISTS.get(kind) ?? ""] : undefined;
    if (typeof named === "string" && indexKey(named) === name) matching.push(text.slice(from, to));
  };
  eachMember(text, 0, (key, list) => {
    if (key !== kind || text[list] !== "{") return;
    eachMember(text, list, (member, events) => {
      if (member === "events" && text[events] === "[") eachElement(text, events, keep);
    });
  });
  return `"${kind}":{"events":[${matching.join()}]}`;
}

function deviceText({ kind, name }: Part, { deviceLists, oneTimeKeys, fallbackKeys }: V2Response): string {
  if (kind === "key_counts") return `"device_one_time_keys_count":${oneTimeKeys},"device_unused_fallback_key_types":${fallbackKeys}`;
  const listed = (users: readonly string[]) => JSON.stringify(users.filter((user) => user === name));
  return `"device_lists":{"changed":${listed(deviceLists.changed)},"left":${listed(deviceLists.left)}}`;
}
