/** What is accepted as an identifier: ids, types and keys that are stored in indexed columns. */

import { isStorable } from "./ids.ts";

/** Limit for event ids, room ids, user ids, types and state keys, in bytes of UTF-8 (spec: "Size limits"). */
const MAX_ID_BYTES = 255;

/** True if `text` is at most `bytes` long as UTF-8. */
export function isShort(text: string, bytes: number = MAX_ID_BYTES): boolean {
  // A UTF-16 code unit is at most three bytes: most texts need no counting.
  return text.length * 3 <= bytes || (text.length <= bytes && Buffer.byteLength(text, "utf8") <= bytes);
}

/** True for a non-empty string that can be stored as an id: short, no NUL, no lone surrogate. The grammar is not checked further. */
export function isIdentifier(value: unknown): value is string {
  return typeof value === "string" && value !== "" && isShort(value) && isStorable(value);
}

/** True for a JSON object, not a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
