/**
 * Tolerant reading of a v2 response in one pass: values of the wrong type are left out and recorded, and everything around them is kept.
 * Only a text that is not JSON fails, because then the response was truncated.
 */

import type { UserId } from "./ids.ts";
import { copyText, skipValue, walkElements, walkMembers } from "./json-scan.ts";
import { isUserId } from "./matrix-id.ts";

/** A part that was left out: where in the response (`rooms.join.!a:b.timeline.events[3]`), and why. */
export type Skipped = { readonly where: string; readonly reason: string };

/** The state of the reading: the response's text, when it arrived (ms), and what had to be left out so far. */
export type PartReading = { readonly text: string; readonly now: number; readonly skipped: Skipped[] };

/** Reads the value at `start`, found at `where`; returns its end offset. */
export type PartReader = (start: number, where: string) => number;

/** Reads an object: each member that `readers` knows by its reader; the others are skipped. */
export function readMembers(r: PartReading, start: number, where: string, readers: Readonly<Record<string, PartReader>>): number {
  if (r.text.charAt(start) !== "{") return skip(r, start, where, "not an object");
  return walkMembers(r.text, start, (key, valueStart) => {
    const reader = Object.hasOwn(readers, key) ? readers[key] : undefined;
    return reader ? reader(valueStart, where === "" ? key : `${where}.${key}`) : skipValue(r.text, valueStart);
  });
}

/** Reads an object used as a map: every member by one reader. Keys that `isKey` does not accept are left out. */
export function readMap<Key extends string>(
  r: PartReading,
  start: number,
  where: string,
  isKey: (key: unknown) => key is Key,
  read: (key: Key, start: number, where: string) => number,
): number {
  if (r.text.charAt(start) !== "{") return skip(r, start, where, "not an object");
  return walkMembers(r.text, start, (key, valueStart) => {
    // The key is a slice of the response, and a map's keys live long.
    const id = copyText(key);
    const at = `${where}.${id.slice(0, 300)}`;
    // A lone surrogate would become another character in the copy, and so the id of something else.
    return key.isWellFormed() && isKey(id) ? read(id, valueStart, at) : skip(r, valueStart, at, "not an id");
  });
}

/** Reads a list: every element by one reader. */
export function readList(r: PartReading, start: number, where: string, read: PartReader): number {
  if (r.text.charAt(start) !== "[") return skip(r, start, where, "not a list");
  let index = 0;
  return walkElements(r.text, start, (elementStart) => read(elementStart, `${where}[${index++}]`));
}

/** Reads `{"events": […]}`. */
export function readEvents(r: PartReading, start: number, where: string, read: PartReader): number {
  return readMembers(r, start, where, { events: (at, path) => readList(r, at, path, read) });
}

/** Skips the value at `start` and records why. */
export function skip(r: PartReading, start: number, where: string, reason: string): number {
  r.skipped.push({ where, reason });
  return skipValue(r.text, start);
}

/** The value at `start`, parsed, with its own text. For small values only. */
export function parseValue(r: PartReading, start: number): { value: unknown; text: string; end: number } {
  const end = skipValue(r.text, start);
  const text = copyText(r.text.slice(start, end));
  return { value: JSON.parse(text), text, end };
}

/** A list of user ids without duplicates; invalid ones are left out and recorded. */
export function readUserIds(r: PartReading, start: number, where: string, keep: (ids: UserId[]) => void): number {
  const { value, end } = parseValue(r, start);
  if (Array.isArray(value)) keep(userIdsOf(r, value, where));
  else r.skipped.push({ where, reason: "not a list" });
  return end;
}

/** The ids of a parsed list; see readUserIds. */
export function userIdsOf(r: PartReading, list: readonly unknown[], where: string): UserId[] {
  const ids = new Set<UserId>();
  for (const [index, item] of list.entries()) {
    if (isUserId(item)) ids.add(item);
    else r.skipped.push({ where: `${where}[${index}]`, reason: "not a user id" });
  }
  return [...ids];
}

/** A count: a safe integer, 0 or more. Anything else is left out and recorded, except null and absent, which mean unknown. */
export function readCount(r: PartReading, start: number, where: string, keep: (count: number) => void): number {
  const { value, end } = parseValue(r, start);
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) keep(value);
  else if (value !== null) r.skipped.push({ where, reason: "not a count" });
  return end;
}
