import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CONFORMANCE, definedIn, idsOf, PROTOCOL, provenBy, rowsOf, titlesOf } from "../support/conformance.ts";

const ROOT = join(import.meta.dirname, "../..");
const rows = rowsOf(readFileSync(CONFORMANCE, "utf8"));
const files = provenBy();
const isRule = (id: string): boolean => /^[RDSI]\d+$/.test(id);

/** R1 to R23 and so on: as many as the contract has. */
const COUNTS = { R: 23, D: 26, S: 6, I: 11, N: 12, B: 58 } as const;
/** Rules with later numbers, which stand beside those that they extend. */
const EXTENDING: ReadonlySet<string> = new Set(["M93", "M94", "M95", "M96", "M97"]);

describe("docs/CONFORMANCE.md", () => {
  it("has one row for every rule, and no other", () => {
    const ids = rows.map((row) => row.id);
    expect(
      ids.filter((id, index) => ids.indexOf(id) !== index),
      "twice",
    ).toEqual([]);
    const numbersOf = (letter: string) =>
      ids.filter((id) => new RegExp(`^${letter}\\d+$`).test(id) && !EXTENDING.has(id)).map((id) => Number(id.slice(1)));
    for (const [letter, count] of Object.entries(COUNTS)) {
      expect(numbersOf(letter), letter).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    }
    // Further ones are those of single extensions. Some numbers are not in use.
    expect(numbersOf("M")).toEqual(expect.arrayContaining(Array.from({ length: 64 }, (_, index) => index + 1)));
  });

  it("names the rules that docs/PROTOCOL.md defines", () => {
    const defined = definedIn(readFileSync(PROTOCOL, "utf8"));
    expect([...defined].toSorted()).toEqual(
      rows
        .map((row) => row.id)
        .filter(isRule)
        .toSorted(),
    );
  });

  it("says in a few words what each rule is", () => {
    for (const row of rows) expect(row.rule.length, row.id).toBeGreaterThan(5);
  });
});

describe("tests and their titles", () => {
  it("every rule is proven by the tests that its row names (else: node scripts/conformance.mjs)", () => {
    const told = Object.fromEntries(rows.map((row) => [row.id, row.files]));
    expect(told).toEqual(Object.fromEntries(rows.map((row) => [row.id, files.get(row.id) ?? []])));
    expect(
      rows.filter((row) => row.files.length === 0).map((row) => row.id),
      "without a test",
    ).toEqual([]);
    for (const file of rows.flatMap((row) => row.files)) expect(existsSync(join(ROOT, file)), file).toBe(true);
  });

  it("every id in a title has a row", () => {
    const known = new Set(rows.map((row) => row.id));
    expect([...files.keys()].filter((id) => !known.has(id))).toEqual([]);
  });
});

describe("reading titles", () => {
  it("takes the ids at the beginning, and regressions anywhere", () => {
    expect([...idsOf("S5 R16: unknown sorts are dropped as D17 says")]).toEqual(["S5", "R16"]);
    expect([...idsOf("R9, S2: purged (B4, TestSessionExpiry)")]).toEqual(["R9", "S2", "B4", "TestSessionExpiry"]);
    expect([...idsOf("invites: knocks")]).toEqual(["invites"]);
    expect([...idsOf("a test of D5")]).toEqual([]);
  });

  it("finds titles of tests, groups and lists", () => {
    const source = `it("R1: a \\"b\\"", x); test.each([[1, f(2)]])('D1: %i', x);\ndescribe("S1", () => {}); it.each(rows.map((row) => g(row)))(\`B1\`, x)`;
    expect(titlesOf(source)).toEqual(['R1: a \\"b\\"', "D1: %i", "S1", "B1"]);
  });
});
