/** Real JSON with something wrong in it, for tests of what reads it. */

import fc from "fast-check";
import type { Json } from "./events.ts";

/** What stands where something else was meant. */
const HOSTILE: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  9_007_199_254_740_992,
  "",
  "x",
  "\u0000",
  "\ud800",
  "💥".repeat(300),
  "a".repeat(70_000),
  [],
  {},
  [[]],
  [null],
  { a: { b: { c: [] } } },
  "__proto__",
  "$LAZY",
  "*",
];

type Change = { readonly at: number; readonly kind: "replace" | "drop" | "double" | "rename"; readonly value: unknown };

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat({ max: 1_000_000 }),
  kind: fc.constantFrom("replace", "replace", "drop", "double", "rename"),
  value: fc.constantFrom(...HOSTILE),
});

/** The value with one to four of its nodes changed. */
export function mutated(value: Json): fc.Arbitrary<unknown> {
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => changes.reduce<unknown>(apply, structuredClone(value)));
}

/** The value's JSON text, changed as above, and cut or with a byte changed. */
export function mutatedText(value: Json): fc.Arbitrary<string> {
  const whole = mutated(value).map((one) => JSON.stringify(one) ?? "");
  const broken = fc
    .tuple(whole, fc.nat({ max: 1_000_000 }), fc.constantFrom("", "}", '"', "\\", "\u0000", ",", "9", "\\ud800", "\\u0000"))
    .map(([text, at, put]) => `${text.slice(0, at % (text.length + 1))}${put}${put === "" ? "" : text.slice((at % (text.length + 1)) + 1)}`);
  return fc.oneof({ weight: 3, arbitrary: whole }, { weight: 1, arbitrary: broken });
}

function apply(root: unknown, { at, kind, value: shared }: Change): unknown {
  const value = structuredClone(shared);
  const holders = holdersOf(root);
  const slots = holders.flatMap((holder) => Object.keys(holder).map((key) => ({ holder, key })));
  const slot = slots[at % Math.max(1, slots.length)];
  if (!slot) return value;
  const { holder, key } = slot;
  if (Array.isArray(holder)) {
    const index = Number(key);
    if (kind === "drop") holder.splice(index, 1);
    else if (kind === "double") holder.splice(index, 0, holder[index]);
    else holder[index] = value;
  } else if (kind === "drop") delete holder[key];
  else if (kind === "rename" && typeof value === "string") {
    Object.defineProperty(holder, value, { value: holder[key], enumerable: true, configurable: true, writable: true });
    delete holder[key];
  } else holder[key] = value;
  return root;
}

/** Every object and list in a value. */
function holdersOf(value: unknown): (Record<string, unknown> | unknown[])[] {
  if (typeof value !== "object" || value === null) return [];
  const own = value as Record<string, unknown> | unknown[];
  return [own, ...Object.values(own).flatMap(holdersOf)];
}
