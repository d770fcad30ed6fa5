/**
 * docs/CONFORMANCE.md says for each rule which tests prove it, and the titles of the tests say for which rules they stand. This reads
 * both, so that they can be compared (test/docs/conformance.test.ts) and the table's files written (scripts/conformance.mjs).
 */

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
export const CONFORMANCE = join(ROOT, "docs/CONFORMANCE.md");
export const PROTOCOL = join(ROOT, "docs/PROTOCOL.md");

/**
 * Rules (R1…), decisions (D1…), streams (S1… and those with a name only), invariants (I1…), those of sliding sync (M1…), what no input
 * may stop (N1…), and what the homeserver's own sync would show (T1…). A title begins with those it proves.
 */
const RULE = String.raw`[RDSIMNT]\d+|invites|account_data|receipts|presence|e2ee`;
/** Mistakes of the first implementation (B1…) and its tests (TestName). A title may name them anywhere. */
const REGRESSION = String.raw`B\d+|Test[A-Z]\w+`;

const LEADING = new RegExp(String.raw`^(?:(?:${RULE}|${REGRESSION})\b[,:]?\s*)+`);
const ANY = new RegExp(String.raw`\b(?:${RULE}|${REGRESSION})\b`, "g");
const REGRESSIONS = new RegExp(String.raw`\b(?:${REGRESSION})\b`, "g");
const CALL = /\b(?:it|test|describe)(?:\.(\w+))*\s*\(/g;
const STRING = /\s*(["'`])((?:\\.|(?!\1).)*)\1/sy;

/** The ids in a test's title. */
export function idsOf(title: string): Set<string> {
  const leading = LEADING.exec(title)?.[0].match(ANY) ?? [];
  return new Set([...leading, ...(title.match(REGRESSIONS) ?? [])]);
}

/** The titles in a test file, as written: also those of groups and of lists of tests. */
export function titlesOf(source: string): string[] {
  return [...source.matchAll(CALL)].flatMap(({ index, 0: call, 1: last }) => {
    const inside = index + call.length;
    // The title of a list of tests is in the second pair of brackets.
    STRING.lastIndex = last === "each" || last === "for" || last === "runIf" || last === "skipIf" ? afterBrackets(source, inside) + 1 : inside;
    return STRING.exec(source)?.[2] ?? [];
  });
}

/** Where the brackets end that are open at `start`; those in strings do not count. */
function afterBrackets(source: string, start: number): number {
  let depth = 1;
  let at = start;
  while (at < source.length && depth > 0) {
    STRING.lastIndex = at;
    const text = STRING.exec(source)?.[0];
    if (text === undefined) {
      if ("([{".includes(source.charAt(at))) depth += 1;
      else if (")]}".includes(source.charAt(at))) depth -= 1;
    }
    at += text?.length ?? 1;
  }
  return at;
}

/** Id → test files of which a title names it, in order. */
export function provenBy(): Map<string, string[]> {
  const files = new Map<string, Set<string>>();
  for (const file of testFiles()) {
    for (const id of titlesOf(readFileSync(join(ROOT, file), "utf8")).flatMap((title) => [...idsOf(title)])) {
      files.set(id, (files.get(id) ?? new Set()).add(file));
    }
  }
  return new Map([...files].map(([id, set]) => [id, [...set].toSorted()]));
}

function testFiles(): string[] {
  return ["src", "test"].flatMap((directory) =>
    readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
  );
}

/** A row of the tables: `| id | rule | test files | reading |`. */
export type Row = { readonly id: string; readonly rule: string; readonly files: readonly string[]; readonly reading: string };

export function rowsOf(markdown: string): Row[] {
  return markdown.split("\n").flatMap((line) => rowOf(line) ?? []);
}

/** The text with the files of every row as they are. */
export function withFiles(markdown: string, files: ReadonlyMap<string, readonly string[]>): string {
  const line = (text: string) => {
    const row = rowOf(text);
    if (!row) return text;
    const list = (files.get(row.id) ?? []).map((file) => `\`${file}\``).join(" ");
    return `| ${row.id} | ${row.rule} | ${list} | ${row.reading} |`;
  };
  return markdown.split("\n").map(line).join("\n");
}

function rowOf(line: string): Row | null {
  const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
  const [, id = "", rule = "", files = "", reading = ""] = cells;
  if (cells.length !== 6 || !new RegExp(`^(?:${RULE}|${REGRESSION})$`).test(id)) return null;
  return { id, rule, files: [...files.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ""), reading };
}

/** The rules that a description of the protocol defines: ids at the beginning of a table row, a list item or a heading. */
export function definedIn(markdown: string): Set<string> {
  return new Set([...markdown.matchAll(/^(?:\|\s*|[-*]\s+|#+\s*)[*`]*([RDSI]\d+)\b/gm)].map((match) => match[1] ?? ""));
}
