/** How long events are sticky (MSC4354). The homeserver says how much of it is left; times are by our clock. */

import { isObject } from "./identifier.ts";
import { memberTexts } from "./json-scan.ts";

/** Member of `unsigned`: ms for which an event is still sticky. */
export const STICKY_FOR = "msc4354_sticky_duration_ttl_ms";
const STICKY = "msc4354_sticky";
/** No event is sticky for longer, ms. */
const MAX_MS = 3_600_000;

/** `left`: the value of STICKY_FOR. null: the event is not sticky. */
export function stickyUntil(left: unknown, now: number): number | null {
  return typeof left === "number" && left > 0 ? now + Math.min(Math.round(left), MAX_MS) : null;
}

/** The end for an event of which the homeserver says only that it is sticky: as long as it declares ("To calculate if any sticky event …"). */
export function declaredEnd({ body, ts }: { readonly body: string; readonly ts: number }, now: number): number {
  const sticky: unknown = JSON.parse(memberTexts(body).get(STICKY) ?? "null");
  const duration = isObject(sticky) && typeof sticky["duration_ms"] === "number" ? sticky["duration_ms"] : 0;
  return Math.min(ts, now) + Math.min(Math.round(duration), MAX_MS);
}

/** Whether a body is that of a sticky event: a redacted one is not. */
export function declaresSticky(body: string): boolean {
  return memberTexts(body).has(STICKY);
}
