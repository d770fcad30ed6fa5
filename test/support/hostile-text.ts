/** JSON texts with something in them that strict parsers refuse and JavaScript does not, or that nobody expects. */

import fc from "fast-check";
import type { Json } from "./events.ts";

/** What JSON.stringify would not write, or not so. */
const VALUES = [
  "null",
  "true",
  "0",
  "-0",
  "-1",
  "1.5",
  "50.0",
  "5e1",
  "1e999",
  "9007199254740991",
  "9007199254740992",
  "18446744073709551616",
  "[]",
  "{}",
  "[5]",
  '{"a":1,"a":2}',
  '{"\\ud800":"\\udc00"}',
  '""',
  '"50"',
  '"x"',
  '"\\ud800"',
  '"\\u0000"',
  '"\\ud83d\\ude00"',
] as const;

const SERVERS = ["", "test", "te st", "a.b:8448", "a.b:99999", "a.b:+80", "a:b:1", "[::1]", "[::1]:1", "[::g]", "[fe80::1%eth0]", "ü"] as const;
const LOCALS = ["@", "!", "$", "#", "", "@a", "!A-b_0", "$a", "@\u0000", "@\ud800", `@${"é".repeat(120)}`, `$${"a".repeat(260)}`] as const;

/** Ids, right and wrong. */
const id = fc.oneof(
  fc.constantFrom(...LOCALS),
  fc.tuple(fc.constantFrom(...LOCALS), fc.constantFrom(...SERVERS)).map(([local, server]) => `${local}:${server}`),
);

type Change = { readonly at: number; readonly isKey: boolean; readonly value: string; readonly key: string };

const change = (more: readonly string[]): fc.Arbitrary<Change> =>
  fc.record({
    at: fc.nat({ max: 1_000_000 }),
    isKey: fc.boolean(),
    value: fc.oneof(
      fc.constantFrom(...VALUES, ...more),
      id.map((one) => JSON.stringify(one)),
    ),
    key: fc.oneof(id, fc.constantFrom("\ud800", "\u0000", "", "x", "__proto__")).map((one) => JSON.stringify(one)),
  });

/** The value's JSON text with one to `most` of its values or keys changed. `more`: further JSON texts to be put in. */
export function hostileText(
  value: Json,
  { most = 4, more = [] }: { readonly most?: number; readonly more?: readonly string[] } = {},
): fc.Arbitrary<string> {
  return fc.array(change(more), { minLength: 1, maxLength: most }).map((changes) => {
    const root = structuredClone(value);
    const texts = changes.map((one, index) => (mark(root, one, `MARK-${index}-KRAM`), one.isKey ? one.key : one.value));
    const text = JSON.stringify(root).replaceAll(/"MARK-(\d+)-KRAM"/g, (_, index: string) => texts[Number(index)] ?? "null");
    return text;
  });
}

function mark(root: Json, { at, isKey }: Change, name: string): void {
  const slots = holdersOf(root).flatMap((holder) => Object.keys(holder).map((key) => ({ holder, key })));
  const open = isKey ? slots.filter(({ holder }) => !Array.isArray(holder)) : slots;
  const slot = open[at % Math.max(1, open.length)];
  if (!slot) return;
  const holder = slot.holder as Record<string, unknown>;
  if (!isKey) holder[slot.key] = name;
  else {
    holder[name] = holder[slot.key];
    delete holder[slot.key];
  }
}

/** Every object and list in a value. */
function holdersOf(value: unknown): object[] {
  return typeof value === "object" && value !== null ? [value, ...Object.values(value).flatMap(holdersOf)] : [];
}
