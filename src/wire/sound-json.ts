/** Makes foreign parsed JSON safe to be written into answers (N5, N6). */

import { isObject } from "./identifier.ts";

/**
 * The value with well-formed text in it: lone surrogates, which strict parsers refuse, become U+FFFD. undefined if it nests deeper than
 * `levels` (0: only scalars pass), because deep JSON overflows the stack of any recursive code, JSON.stringify included.
 */
export function soundJson(value: unknown, levels: number): unknown {
  if (typeof value === "string") return value.toWellFormed();
  // JSON has numbers that JavaScript cannot represent: `1e999`.
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "object" || value === null) return value;
  if (levels === 0) return undefined;
  const parts = Array.isArray(value)
    ? value.map((part) => soundJson(part, levels - 1))
    : Object.values(value).map((part) => soundJson(part, levels - 1));
  if (parts.includes(undefined)) return undefined;
  return isObject(value) ? Object.fromEntries(Object.keys(value).map((key, index) => [key.toWellFormed(), parts[index]])) : parts;
}
