/** Sticky parameters (R6, D9): JSON merge patch, RFC 7396. */

import { isObject } from "../wire/identifier.ts";

export type JsonObject = { readonly [key: string]: unknown };

/** `target` with `patch` applied: objects are merged by member, `null` removes, anything else replaces. Neither argument is changed. */
export function mergePatch(target: JsonObject | undefined, patch: JsonObject): JsonObject {
  const merged: [string, unknown][] = Object.entries(target ?? {}).filter(([key]) => !Object.hasOwn(patch, key));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) continue;
    const before = target && Object.hasOwn(target, key) ? target[key] : undefined;
    merged.push([key, isObject(value) ? mergePatch(isObject(before) ? before : undefined, value) : value]);
  }
  // fromEntries defines own properties, so a key named __proto__ is an ordinary key.
  return Object.fromEntries(merged);
}
