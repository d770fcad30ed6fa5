/** Presence (client-server API, "Presence"). */

import { withMember } from "./json-edit.ts";
import { memberTexts } from "./json-scan.ts";

/** From the least present on. */
const PRESENCES = ["offline", "unavailable", "online"] as const;
export type Presence = (typeof PRESENCES)[number];

export function isPresence(value: unknown): value is Presence {
  return PRESENCES.some((presence) => presence === value);
}

/** `offline` of none. */
export function mostPresent(presences: readonly Presence[]): Presence {
  return PRESENCES.findLast((presence) => presences.includes(presence)) ?? "offline";
}

/** The text of a presence event that arrived `ms` ago: the time since the user was last active has become longer. All else keeps its bytes. */
export function agedPresence(body: string, ms: number): string {
  const content = memberTexts(body).get("content");
  const ago: unknown = content === undefined ? undefined : JSON.parse(memberTexts(content).get("last_active_ago") ?? "null");
  if (typeof ago !== "number" || content === undefined || ms < 1) return body;
  const aged = withMember(content, "last_active_ago", () => String(Math.round(ago + ms)));
  return withMember(body, "content", () => aged);
}
