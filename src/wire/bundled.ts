/** What a homeserver bundles with an event: `unsigned["m.relations"]`, by relation type (spec: aggregations of child events). */

import type { EventId } from "./ids.ts";
import { isObject } from "./identifier.ts";
import { indexKey } from "./index-key.ts";
import { memberTexts } from "./json-scan.ts";

/** One part of it: a relation type and its JSON. */
export type BundledPart = { readonly type: string; readonly text: string };

/** @param text a JSON object */
export function bundledParts(text: string): BundledPart[] {
  return [...memberTexts(text)].map(([type, part]) => ({ type, text: part }));
}

/** Whether `stored`, the ids of all known events with that relation, redacted or not, are all that the part is about. */
export function isAbout({ type, text }: BundledPart, stored: ReadonlySet<EventId>): boolean {
  const part: unknown = JSON.parse(text);
  if (!isObject(part)) return true;
  const has = (event: unknown) => isObject(event) && typeof event["event_id"] === "string" && stored.has(indexKey(event["event_id"]) as EventId);
  if (type === "m.replace") return has(part);
  if (type === "m.thread") return has(part["latest_event"]) && Number(part["count"]) <= stored.size;
  if (type === "m.reference") return !Array.isArray(part["chunk"]) || part["chunk"].every(has);
  return false;
}

/** The events that it names, as index keys. What their contents name does not count. */
export function eventsNamedIn({ text }: BundledPart): EventId[] {
  const found: EventId[] = [];
  const left: unknown[] = [JSON.parse(text)];
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (Array.isArray(value)) left.push(...(value as unknown[]));
    if (!isObject(value)) continue;
    if (typeof value["event_id"] === "string") found.push(indexKey(value["event_id"]) as EventId);
    for (const [key, inner] of Object.entries(value)) if (key !== "content" && inner !== null) left.push(inner);
  }
  return found;
}
