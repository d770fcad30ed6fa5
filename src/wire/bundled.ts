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

/** A known event, its place among them, and whether it is redacted by now. */
export type Placed = { readonly event_id: EventId; readonly place: number; readonly pruned: boolean };

/**
 * Whether `known`, all known events with that relation, redacted or not, are all that the part is about, which was right up to the place `asOf`. Of a
 * thread redacted replies do not count, since one that was redacted before is not in the homeserver's count.
 */
export function isAbout({ type, text }: BundledPart, known: readonly Placed[], asOf: number): boolean {
  const part: unknown = JSON.parse(text);
  if (!isObject(part)) return true;
  const find = (event: unknown) => {
    const id = isObject(event) ? event["event_id"] : undefined;
    return typeof id === "string" ? known.find((one) => one.event_id === indexKey(id)) : undefined;
  };
  if (type === "m.replace") return find(part) !== undefined;
  if (type === "m.reference") return !Array.isArray(part["chunk"]) || part["chunk"].every((event) => find(event) !== undefined);
  if (type !== "m.thread") return false;
  const latest = find(part["latest_event"]);
  // Homeservers count an event before they send it.
  return (
    latest !== undefined && Number(part["count"]) <= known.filter(({ place, pruned }) => !pruned && place <= Math.max(asOf, latest.place)).length
  );
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
