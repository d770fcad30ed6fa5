/**
 * The form in which a text of any length is stored in an indexed column. A row of a PostgreSQL index holds about 2700 bytes, and a text
 * column holds no NUL; homeservers and clients send longer texts than that, and texts with NUL.
 */

import { createHash } from "node:crypto";

import { firstCharacters } from "../base/first-characters.ts";
import { isShort } from "./identifier.ts";
import { isStorable } from "./ids.ts";

/** How much of a long text its key begins with, in characters (code points). */
const PREFIX = 48;
/** 192 bytes: with the hash it makes every such key longer than any text that is stored unchanged. */
const CUT = "…".repeat(64);

/**
 * The text itself if it is short (at most 255 bytes of UTF-8) and can be stored unchanged; else its beginning and its SHA-256, at most 448
 * bytes. Two texts have the same key only if they are equal: no short text is as long as the key of a long one. A key is never sent: clients
 * get the text from the event's body. sql/0009_bounded_indexes.sql computes the same for older rows.
 */
export function indexKey(text: string): string {
  const storable = isStorable(text);
  if (storable && isShort(text)) return text;
  const prefix = firstCharacters(text, PREFIX).replaceAll("\0", "\u{fffd}").toWellFormed();
  // In UTF-8 all lone surrogates would be the same.
  const bytes = Buffer.from(text, storable ? "utf8" : "utf16le");
  return `${prefix}${CUT}${createHash("sha256").update(bytes).digest("hex")}`;
}

/** True for a key that stands for another text. */
export function isCutKey(key: string): boolean {
  return !isShort(key);
}
