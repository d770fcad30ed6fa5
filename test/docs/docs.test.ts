/** The documents: what they name is there, and what must be named is. */

import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { slugify } from "../../scripts/docs-site.mjs";
import { OPTION_TABLE, type OptionRow } from "../../src/config/option-table.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const find = (...patterns: string[]): string[] => globSync(patterns, { cwd: ROOT }).toSorted();

const DOCUMENTS = find("*.md", "docs/**/*.md", "packages/*/README.md");
const SOURCES = find(
  "{src,test,bench,demo,scripts,bin,sql,page,.ci}/**/*.*",
  "packages/*/{src,examples,scripts,test}/**/*.*",
  "bin/*",
  ".ci/*",
  "*.{ts,mjs,json}",
  ".*.{mjs,json}",
);
const PACKAGE = JSON.parse(read("package.json")) as Record<"scripts" | "dependencies" | "devDependencies", Record<string, string>>;

const matches = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map((match) => match[1] ?? "");
const withoutCode = (text: string): string => text.replaceAll(/^```.*?^```/gms, "").replaceAll(/`[^`\n]*`/g, "");

/** The names that a heading can be linked by. */
function anchors(path: string): string[] {
  const headings = matches(read(path).replaceAll(/^```.*?^```/gms, ""), /^#+ +(.+)$/gm);
  return headings.map(slugify);
}

test("there are documents and sources to look at", () => {
  expect(DOCUMENTS).toEqual(expect.arrayContaining(["README.md", "docs/ARCHITECTURE.md", "docs/OPERATIONS.md", "docs/PROTOCOL.md"]));
  expect(SOURCES).toEqual(expect.arrayContaining(["src/cli/main.ts", "sql/0001_first.sql", "bin/syncv3", ".dependency-cruiser.mjs"]));
});

describe.each(DOCUMENTS)("%s", (path) => {
  const text = read(path);

  test("links lead somewhere", () => {
    const targets = matches(withoutCode(text), /\]\(([^)\s]+)\)/g).filter((target) => !/^[a-z]+:/.test(target));
    const broken = targets.filter((target) => {
      const [file = "", anchor] = target.split("#");
      const linked = file === "" ? path : join(dirname(path), file);
      return !existsSync(join(ROOT, linked)) || (anchor !== undefined && !anchors(linked).includes(anchor));
    });
    expect(broken).toEqual([]);
  });

  test("files in backticks exist", () => {
    const named = matches(text, /`([\w./-]+\.(?:ts|mjs|sql))`/g);
    expect(named.filter((name) => !SOURCES.some((source) => source === name || source.endsWith(`/${name}`)))).toEqual([]);
  });

  test("npm scripts exist", () => {
    const named = [...matches(text, /\bnpm run ([\w:-]+)/g), ...matches(text, /\bnpm (start|test)\b/g)];
    expect(named.filter((name) => !Object.hasOwn(PACKAGE.scripts, name))).toEqual([]);
  });
});

const OPTIONS: readonly OptionRow[] = OPTION_TABLE;
test.each(OPTIONS)("README.md has the option -$flag", ({ flag, variable, value, fallback }) => {
  const row = read("README.md")
    .split("\n")
    .find((line) => line.startsWith(`| \`-${[flag, value].filter(Boolean).join(" ")}\` |`));
  expect(row).toContain(`| \`${variable}\` |`);
  if (fallback !== undefined) expect(row).toContain(`| \`${fallback}\` |`);
});

test("every number of the contract is defined once in docs/PROTOCOL.md", () => {
  const ids = matches(read("docs/PROTOCOL.md"), /^(?:\| |### )([RDSI]\d+)\b/gm);
  const all = (letter: string, last: number): string[] => Array.from({ length: last }, (_, index) => `${letter}${index + 1}`);
  expect(ids).toEqual([...all("R", 23), ...all("D", 26), ...all("S", 6), ...all("I", 11)]);
});

test("every dependency has its line in docs/adr/0005-dependencies.md", () => {
  const rows = matches(read("docs/adr/0005-dependencies.md"), /^\| (`.+?) \|/gm).flatMap((cell) => matches(cell, /`([^`]+)`/g));
  expect(rows.toSorted()).toEqual(Object.keys({ ...PACKAGE.dependencies, ...PACKAGE.devDependencies }).toSorted());
});

/** The fixed parts of a message in a source: what stands between the values. */
const fixedParts = (message: string): string[] =>
  message
    .split(/\$\{[^}]*\}|\\"|\n/)
    .map((part) => part.trim())
    .filter((part) => part.length > 5);

test("docs/OPERATIONS.md has every error that a start can end with", () => {
  const table = read("docs/OPERATIONS.md").split("## Troubleshooting")[1] ?? "";
  const sources = find("src/{cli,config}/*.ts").filter((path) => !path.endsWith(".test.ts"));
  const thrown = sources.flatMap((path) =>
    [
      ...read(path).matchAll(/new (?:UsageError|Bad\w+|DatabaseUnusable|DirectoryInUse|WrongVersion|NoPostgres|Error)\(\s*(["'`])(.+?)\1[,)\n]/gs),
    ].map((match) => match[2] ?? ""),
  );
  expect(thrown.length).toBeGreaterThan(25);
  // The table cuts long messages: the beginning of one of the fixed parts is enough.
  const isThere = (message: string): boolean => fixedParts(message).some((part) => table.includes(part.slice(0, 24).trim()));
  expect(thrown.filter((message) => fixedParts(message).length > 0 && !isThere(message))).toEqual([]);
});

test("nothing names paths of one machine or files beside the project", () => {
  const foreign = [
    ["", "work", ""],
    ["", "root", ""],
    ["", "tmp", "brief"],
    ["..", "shared"],
  ].map((parts) => parts.join("/"));
  const found = [...DOCUMENTS, ...SOURCES].flatMap((path) => {
    const text = read(path);
    return foreign.filter((name) => text.includes(name)).map((name) => `${path}: ${name}`);
  });
  expect(found).toEqual([]);
});
