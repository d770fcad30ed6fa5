/** Unicode full case folding (statuses C and F of CaseFolding.txt), for names that compare without regard to case (S3, S5). */

import { COMMON, FULL } from "./case-fold-data.ts";

/** Code point → its folding. Code points that fold to themselves are not listed. */
const FOLDED = readTable();

function readTable(): ReadonlyMap<number, string> {
  const table = new Map<number, string>();
  for (const entry of COMMON.trim().split(/\s+/)) {
    const [, first = "", how = "", last = first, sign = "", delta = ""] = /^(\w+?)(?:(\.\.|\/)(\w+))?([+-])(\w+)$/.exec(entry) ?? [];
    const distance = Number.parseInt(sign + delta, 16);
    for (let code = Number.parseInt(first, 16); code <= Number.parseInt(last, 16); code += how === "/" ? 2 : 1) {
      table.set(code, String.fromCodePoint(code + distance));
    }
  }
  for (const entry of FULL.trim().split(/\s+/)) {
    const [code = "", folded = ""] = entry.split("=");
    table.set(Number.parseInt(code, 16), String.fromCodePoint(...folded.split(".").map((part) => Number.parseInt(part, 16))));
  }
  return table;
}

/** `text` folded: two texts that differ only in case become equal. Independent of the locale; does not normalise. */
export function foldCase(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase();
  let folded = "";
  for (const character of text) folded += FOLDED.get(character.codePointAt(0) ?? 0) ?? character;
  return folded;
}

/**
 * A member's sort name (S3): the display name, else the user id without `@`, both folded. A display name that is empty or not a string
 * counts as missing. The result can be stored: NULs are left out, lone surrogates become U+FFFD.
 */
export function memberSortName(userId: string, displayname: unknown): string {
  const name = typeof displayname === "string" ? displayname.replaceAll("\0", "") : "";
  return foldCase((name === "" ? userId.replace(/^@/, "") : name).toWellFormed());
}
