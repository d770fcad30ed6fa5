/** One-time key counts of a device, as the JSON text of an object: algorithm to count. */

import { isObject } from "./identifier.ts";

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
