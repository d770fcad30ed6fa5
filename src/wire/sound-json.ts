/** Parsed JSON of others made fit to be written into answers (N5, N6). */

import { isObject } from "./identifier.ts";

/**
 * The value with well-formed text in it: lone surrogates, which strict parsers refuse, become U+FFFD. undefined where it nests deeper than
 * `levels` (0: only scalars pass), as deep JSON overflows the stack of whatever walks it, JSON.stringify included.
 */
export function soundJson(value: unknown, levels: number): unknown {
  if (typeof value === "string") return value.toWellFormed();
  // JSON has numbers that are none of ours: `1e999`.
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "object" || value === null) return value;
  if (levels === 0) return undefined;
  const parts = Array.isArray(value)
    ? value.map((part) => soundJson(part, levels - 1))
    : Object.values(value).map((part) => soundJson(part, levels - 1));
  if (parts.includes(undefined)) return undefined;
  return isObject(value) ? Object.fromEntries(Object.keys(value).map((key, index) => [key.toWellFormed(), parts[index]])) : parts;
}
