/** A device's key counts as strict clients read them (N6). Only invalid values are left out. */

import { isObject } from "./identifier.ts";

/** A device's keys after an upload (T11). */
export type UploadedKeys = {
  /** How many one-time keys there are by algorithm, as the homeserver counted them. */
  readonly counts: Readonly<Record<string, number>>;
  /** Algorithms of the uploaded fallback keys, none of which is used yet. */
  readonly fallbackTypes: readonly string[];
};

/**
 * `device_one_time_keys_count` as JSON text: by algorithm an integer, 0 or more. `50.0` and `"50"` become 50; other values are left out.
 * @param text a JSON object
 */
export function keyCountsText(text: string): string {
  return JSON.stringify(Object.fromEntries(countsIn(text).filter(([, count]) => count !== null)));
}

/**
 * The same for a homeserver's counts, for mergeCounts: an invalid value is null, because it does not mean that the keys are used up.
 * @param text a JSON object
 */
export function reportedCountsText(text: string): string {
  return JSON.stringify(Object.fromEntries(countsIn(text)));
}

function countsIn(text: string): (readonly [string, number | null])[] {
  return Object.entries(readObject(text)).flatMap(([algorithm, value]) => {
    const count = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
    const isCount = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
    // "+ 0", because -0 is a safe integer too.
    return algorithm.isWellFormed() ? [[algorithm, isCount ? count + 0 : null] as const] : [];
  });
}

/**
 * `device_unused_fallback_key_types` as JSON text: names of algorithms, without values that are not texts.
 * @param text a JSON list
 */
export function keyTypesText(text: string): string {
  const types: unknown = JSON.parse(text);
  return JSON.stringify(Array.isArray(types) ? types.filter((type) => typeof type === "string" && type.isWellFormed()) : []);
}

/** Most algorithms that are remembered as used up: a homeserver cannot make the text grow without bound. */
const MOST_USED_UP = 20;

/**
 * The counts to store after `reported` (T12). In v2 an algorithm that is not listed has no keys, but sliding sync clients take "not listed" for
 * "unchanged": whatever was listed before and is missing now is listed with 0. An algorithm that is listed with null does not change.
 */
export function mergeCounts(known: string, reported: string): string {
  const [before, listed] = [readObject(known), readObject(reported)];
  const counts = Object.entries(listed).flatMap(([algorithm, count]) => {
    const merged = count ?? before[algorithm];
    return typeof merged === "number" ? [[algorithm, merged] as const] : [];
  });
  const usedUp = Object.keys(before).filter((algorithm) => !Object.hasOwn(listed, algorithm));
  return JSON.stringify(Object.fromEntries([...counts, ...usedUp.slice(0, MOST_USED_UP).map((algorithm) => [algorithm, 0] as const)]));
}

function readObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  return isObject(value) ? value : {};
}
