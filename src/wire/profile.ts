/** Profiles of users, as v2 sends what changed of them (MSC4429). */

import { isStorable } from "./ids.ts";
import { eachMember } from "./json-scan.ts";
import { soundJson } from "./sound-json.ts";

/**
 * The fields that are asked for if a client asks for all: v2 has to be asked for each by name. The specification's, those of MSC4175 (time zone),
 * MSC4247 (pronouns) and MSC4426 (status, call).
 */
export const PROFILE_FIELDS: readonly string[] = [
  "displayname",
  "avatar_url",
  "m.tz",
  "us.cloke.msc4175.tz",
  "m.pronouns",
  "io.fsky.nyx.pronouns",
  "m.status",
  "org.matrix.msc4426.status",
  "m.call",
  "org.matrix.msc4426.call",
];

/** Field → its value as JSON; null: the user does not have it any more. */
export type ProfileUpdates = ReadonlyMap<string, string | null>;

/** Bounds of a field: of its name (bytes, as the specification has it), of its value (characters; a whole profile has 64 KiB), and of its nesting. */
const MAX_NAME = 255;
const MAX_VALUE = 65_536;
const MAX_LEVELS = 100;

/** Whether a field can have that name. */
export function isFieldName(name: string): boolean {
  return name !== "" && Buffer.byteLength(name) <= MAX_NAME && isStorable(name);
}

/** The fields of a JSON object, without those that strict clients could not read. */
export function cutUpdates(text: string): ProfileUpdates {
  const fields = new Map<string, string | null>();
  eachMember(text, 0, (name, from, to) => {
    const value: unknown = JSON.parse(text.slice(from, to));
    const sound = isFieldName(name) && to - from <= MAX_VALUE ? soundJson(value, MAX_LEVELS) : undefined;
    if (sound !== undefined) fields.set(name, value === null ? null : JSON.stringify(sound));
  });
  return fields;
}
