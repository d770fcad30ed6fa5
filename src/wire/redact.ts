/** The redaction algorithm (spec: "Redactions" of each room version), on text: what remains keeps its bytes. */

import { eachMember } from "./json-scan.ts";
import type { RoomVersionFacts } from "./room-versions.ts";
import { roomVersionFacts } from "./room-versions.ts";

/** What remains of a value: all of it, or only the named members of an object, each with a rule of its own. */
type KeptKeys = "all" | { readonly [key: string]: KeptKeys };

/** For every event, whatever the version. `room_id` and `unsigned` are not in a body. */
const TOP_LEVEL = ["event_id", "type", "sender", "state_key", "hashes", "signatures", "depth", "prev_events", "auth_events", "origin_server_ts"];

const POWER_LEVELS = ["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"];

/**
 * The redacted event as JSON text. `body` is the event's (one JSON object, see CutEvent), `type` its type. An unknown room version, or
 * undefined, counts as the newest. Pruning twice changes nothing more.
 * @throws JsonSyntaxError if `body` is not a JSON object.
 */
export function pruneEvent(body: string, type: string, roomVersion: string | undefined): string {
  const version = roomVersionFacts(roomVersion);
  const kept = all(...TOP_LEVEL, ...(version.cleanRedactions ? [] : ["origin", "membership", "prev_state"]));
  const pruned = prune(body, { ...kept, content: contentKept(type, version) });
  // Readers expect a content, also of an event whose content is missing or not an object.
  return pruned.content ? pruned.text : `${pruned.text.slice(0, -1)}${pruned.text === "{}" ? "" : ","}"content":{}}`;
}

function contentKept(type: string, version: RoomVersionFacts): KeptKeys {
  switch (type) {
    case "m.room.member":
      return {
        ...all("membership", ...(version.keepsAuthorisingServer ? ["join_authorised_via_users_server"] : [])),
        ...(version.cleanRedactions ? { third_party_invite: all("signed") } : {}),
      };
    case "m.room.create":
      return version.cleanRedactions ? "all" : all("creator");
    case "m.room.join_rules":
      return all("join_rule", ...(version.keepsAllow ? ["allow"] : []));
    case "m.room.power_levels":
      return all(...POWER_LEVELS, ...(version.cleanRedactions ? ["invite"] : []));
    case "m.room.history_visibility":
      return all("history_visibility");
    case "m.room.aliases":
      return all(...(version.keepsAliases ? ["aliases"] : []));
    case "m.room.redaction":
      return all(...(version.cleanRedactions ? ["redacts"] : []));
    default:
      return {};
  }
}

function all(...keys: readonly string[]): { [key: string]: KeptKeys } {
  return Object.fromEntries(keys.map((key) => [key, "all"]));
}

/** Reduces the object `text` to what `kept` names. If an object is expected and there is none, the member is removed. */
function prune(text: string, kept: { readonly [key: string]: KeptKeys }): { text: string; content: boolean } {
  const members = new Map<string, string>();
  eachMember(text, 0, (key, start, end) => {
    const measure = Object.hasOwn(kept, key) ? kept[key] : undefined;
    if (measure === undefined) return;
    // Of duplicates the last counts, as with JSON.parse.
    members.delete(key);
    const value = text.slice(start, end);
    if (measure === "all" && (key !== "content" || value.startsWith("{"))) members.set(key, value);
    else if (measure !== "all" && value.startsWith("{")) members.set(key, prune(value, measure).text);
  });
  const joined = Array.from(members, ([key, value]) => `${JSON.stringify(key)}:${value}`).join(",");
  return { text: `{${joined}}`, content: members.has("content") };
}
