/** A device's key counts as strict clients read them (N6). What cannot be one is left out alone. */

import { isObject } from "./identifier.ts";

/**
 * `device_one_time_keys_count` as JSON text: by algorithm an integer, 0 or more. `50.0` and `"50"` become 50; other values are left out.
 * @param text a JSON object
 */
export function keyCountsText(text: string): string {
  const counts: unknown = JSON.parse(text);
  const entries = isObject(counts) ? Object.entries(counts) : [];
  const sound = entries.flatMap(([algorithm, value]) => {
    const count = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
    const isCount = typeof count === "number" && Number.isSafeInteger(count) && count >= 0 && algorithm.isWellFormed();
    // "+ 0", since -0 is a safe integer too.
    return isCount ? [[algorithm, count + 0] as const] : [];
  });
  return JSON.stringify(Object.fromEntries(sound));
}

/**
 * `device_unused_fallback_key_types` as JSON text: names of algorithms; what is no text is left out.
 * @param text a JSON list
 */
export function keyTypesText(text: string): string {
  const types: unknown = JSON.parse(text);
  return JSON.stringify(Array.isArray(types) ? types.filter((type) => typeof type === "string" && type.isWellFormed()) : []);
}

/** At most so many algorithms are remembered as used up: a homeserver cannot make the text grow without bound. */
const MOST_USED_UP = 20;

/**
 * The counts to store after `said` (T12). In v2 an algorithm that is not listed has no keys, but sliding sync clients take "not listed" for
 * "unchanged": whatever was listed before and is not now is listed with 0.
 */
export function mergeCounts(known: string, said: string): string {
  const listed = readObject(said);
  const usedUp = Object.keys(readObject(known)).filter((algorithm) => !Object.hasOwn(listed, algorithm));
  if (usedUp.length === 0) return said;
  const counts = Object.entries(listed).filter(([, count]) => typeof count === "number");
  return JSON.stringify(Object.fromEntries([...counts, ...usedUp.slice(0, MOST_USED_UP).map((algorithm) => [algorithm, 0] as const)]));
}

function readObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  return isObject(value) ? value : {};
}
