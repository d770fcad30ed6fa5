/**
 * A scanner over JSON text: finds where values begin and end without building them, so that an event is stored with the homeserver's own
 * bytes (`1.0`, `1e2`, 20-digit numbers, key order). It accepts exactly what JSON.parse accepts: a truncated response is refused. Offsets
 * are in UTF-16 code units. Nothing here recurses, so depth is not limited.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The text is not JSON. `offset`: where the error is, in UTF-16 code units. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
  readonly offset: number;

  constructor(text: string, offset: number) {
    super(offset >= text.length ? `JSON ends too early, at ${text.length}` : `Not JSON at ${offset}`);
    this.offset = offset;
  }
}

/** The offset of the first character at or after `i` that is not JSON white space. */
export function skipSpace(text: string, i: number): number {
  for (;;) {
    const c = text.charCodeAt(i);
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return i;
    i++;
  }
}

/** The end of the string whose opening quote is at `i`. */
function skipString(text: string, i: number): number {
  if (text.charCodeAt(i) !== QUOTE) throw new JsonSyntaxError(text, i);
  for (i++; ; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) return i + 1;
    if (c === BACKSLASH) i = skipEscape(text, i);
    // Written so that the NaN after the end is refused too.
    else if (!(c >= 0x20)) throw new JsonSyntaxError(text, i);
  }
}

/** The offset of the last character of the escape whose backslash is at `i`. */
function skipEscape(text: string, i: number): number {
  const c = text.charAt(i + 1);
  if (c === "u") {
    for (let digit = i + 2; digit < i + 6; digit++) {
      const d = text.charCodeAt(digit) | 0x20;
      if (!((d >= 0x30 && d <= 0x39) || (d >= 0x61 && d <= 0x66)) || text.charCodeAt(digit) < 0x30) throw new JsonSyntaxError(text, digit);
    }
    return i + 5;
  }
  if (c === "" || !'"\\/bfnrt'.includes(c)) throw new JsonSyntaxError(text, i + 1);
  return i + 1;
}

/** The end of a run of at least one digit. */
function skipDigits(text: string, i: number): number {
  const start = i;
  for (;;) {
    const c = text.charCodeAt(i);
    if (!(c >= 0x30 && c <= 0x39)) break;
    i++;
  }
  if (i === start) throw new JsonSyntaxError(text, i);
  return i;
}

function skipNumber(text: string, i: number): number {
  if (text.charCodeAt(i) === MINUS) i++;
  i = text.charCodeAt(i) === ZERO ? i + 1 : skipDigits(text, i);
  if (text.charCodeAt(i) === DOT) i = skipDigits(text, i + 1);
  if ((text.charCodeAt(i) | 0x20) === 0x65) {
    const sign = text.charCodeAt(i + 1);
    i = skipDigits(text, sign === MINUS || sign === 0x2b ? i + 2 : i + 1);
  }
  return i;
}

function skipScalar(text: string, i: number): number {
  const c = text.charCodeAt(i);
  if (c === QUOTE) return skipString(text, i);
  if (c === 0x74 && text.startsWith("true", i)) return i + 4;
  if (c === 0x66 && text.startsWith("false", i)) return i + 5;
  if (c === 0x6e && text.startsWith("null", i)) return i + 4;
  return skipNumber(text, i);
}

/** From a member's key to its value: the offset of the value. */
function skipKey(text: string, i: number): number {
  i = skipSpace(text, skipString(text, i));
  if (text.charCodeAt(i) !== COLON) throw new JsonSyntaxError(text, i);
  return skipSpace(text, i + 1);
}

/**
 * The end offset (exclusive) of the value that begins at `start`, white space before it allowed.
 * @throws JsonSyntaxError
 */
export function skipValue(text: string, start: number): number {
  let i = skipSpace(text, start);
  const first = text.charCodeAt(i);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipScalar(text, i);
  const closers: number[] = [];
  for (;;) {
    // A value begins at i.
    const c = text.charCodeAt(i);
    if (c === OPEN_BRACE) {
      i = skipSpace(text, i + 1);
      if (text.charCodeAt(i) !== CLOSE_BRACE) {
        closers.push(CLOSE_BRACE);
        i = skipKey(text, i);
        continue;
      }
      i++;
    } else if (c === OPEN_BRACKET) {
      i = skipSpace(text, i + 1);
      if (text.charCodeAt(i) !== CLOSE_BRACKET) {
        closers.push(CLOSE_BRACKET);
        continue;
      }
      i++;
    } else i = skipScalar(text, i);
    // A value ended at i: close what ends with it.
    for (;;) {
      const closer = closers.at(-1);
      if (closer === undefined) return i;
      i = skipSpace(text, i);
      const next = text.charCodeAt(i);
      if (next === COMMA) {
        i = skipSpace(text, i + 1);
        if (closer === CLOSE_BRACE) i = skipKey(text, i);
        break;
      }
      if (next !== closer) throw new JsonSyntaxError(text, i);
      closers.pop();
      i++;
    }
  }
}

/**
 * Walks the members of the object at `start` in one pass. `visit` gets each key (decoded), where its value begins and where the key begins,
 * and returns where the value ends: from skipValue, or from its own walk.
 * @returns the end offset of the object.
 * @throws JsonSyntaxError, also if there is no object.
 */
export function walkMembers(text: string, start: number, visit: (key: string, valueStart: number, keyStart: number) => number): number {
  let i = skipSpace(text, start);
  if (text.charCodeAt(i) !== OPEN_BRACE) throw new JsonSyntaxError(text, i);
  i = skipSpace(text, i + 1);
  if (text.charCodeAt(i) === CLOSE_BRACE) return i + 1;
  for (;;) {
    const keyStart = i;
    const keyEnd = skipString(text, keyStart);
    i = skipSpace(text, keyEnd);
    if (text.charCodeAt(i) !== COLON) throw new JsonSyntaxError(text, i);
    i = skipSpace(text, visit(decodeString(text, keyStart, keyEnd), skipSpace(text, i + 1), keyStart));
    const c = text.charCodeAt(i);
    if (c === CLOSE_BRACE) return i + 1;
    if (c !== COMMA) throw new JsonSyntaxError(text, i);
    i = skipSpace(text, i + 1);
  }
}

/** Walks the elements of the list at `start`, as walkMembers walks an object's members. */
export function walkElements(text: string, start: number, visit: (start: number) => number): number {
  let i = skipSpace(text, start);
  if (text.charCodeAt(i) !== OPEN_BRACKET) throw new JsonSyntaxError(text, i);
  i = skipSpace(text, i + 1);
  if (text.charCodeAt(i) === CLOSE_BRACKET) return i + 1;
  for (;;) {
    i = skipSpace(text, visit(i));
    const c = text.charCodeAt(i);
    if (c === CLOSE_BRACKET) return i + 1;
    if (c !== COMMA) throw new JsonSyntaxError(text, i);
    i = skipSpace(text, i + 1);
  }
}

/** Calls `visit` for each member of the object at `start`, duplicate keys included; returns the object's end. @throws JsonSyntaxError */
export function eachMember(text: string, start: number, visit: (key: string, valueStart: number, valueEnd: number) => void): number {
  return walkMembers(text, start, (key, valueStart) => {
    const end = skipValue(text, valueStart);
    visit(key, valueStart, end);
    return end;
  });
}

/** The texts of the members of `text`, which is one object, by key; of duplicates the last counts. @throws JsonSyntaxError */
export function memberTexts(text: string): Map<string, string> {
  const members = new Map<string, string>();
  expectEnd(
    text,
    eachMember(text, 0, (key, start, end) => void members.set(key, text.slice(start, end))),
  );
  return members;
}

/** Calls `visit` for each element of the list at `start`; returns the list's end. @throws JsonSyntaxError */
export function eachElement(text: string, start: number, visit: (start: number, end: number) => void): number {
  return walkElements(text, start, (elementStart) => {
    const end = skipValue(text, elementStart);
    visit(elementStart, end);
    return end;
  });
}

/** The string whose quotes are at `start` and `end - 1`, decoded. */
export function decodeString(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  if (!raw.includes("\\")) return raw;
  const decoded: unknown = JSON.parse(text.slice(start, end));
  return typeof decoded === "string" ? decoded : raw;
}

/** An object's text without the members cut out, and theirs by key; of duplicates the last counts, as with JSON.parse. */
export type Cut = { readonly text: string; readonly removed: Map<string, string>; readonly end: number };

/**
 * Cuts the top-level members named by `keys` out of the object at `start`; all other members, and what is between them, keep their bytes.
 * `end` is the object's end offset.
 * @throws JsonSyntaxError, also if there is no object.
 */
export function cutMembers(text: string, start: number, keys: ReadonlySet<string>): Cut {
  const begin = skipSpace(text, start);
  const removed = new Map<string, string>();
  let remaining = "";
  // The run of remaining members not yet copied: from runStart (with the separator before it, if any) to lastEnd.
  let runStart = -1;
  let lastEnd = -1;
  let firstKey = -1;
  const end = walkMembers(text, begin, (key, valueStart, keyStart) => {
    const valueEnd = skipValue(text, valueStart);
    if (firstKey < 0) firstKey = keyStart;
    if (keys.has(key)) {
      if (runStart >= 0) remaining += text.slice(runStart, lastEnd);
      runStart = -1;
      removed.set(key, text.slice(valueStart, valueEnd));
    } else if (runStart < 0) {
      // The first remaining member needs no separator before it.
      runStart = remaining === "" ? keyStart : lastEnd;
    }
    lastEnd = valueEnd;
    return valueEnd;
  });
  if (removed.size === 0) return { text: text.slice(begin, end), removed, end };
  if (runStart >= 0) remaining += text.slice(runStart, lastEnd);
  return { text: text.slice(begin, firstKey) + remaining + text.slice(lastEnd, end), removed, end };
}

/**
 * `text`, which is one object and nothing else, without the top-level members named by `keys`. See cutMembers.
 * @throws JsonSyntaxError
 */
export function withoutMembers(text: string, keys: ReadonlySet<string>): { text: string; removed: Map<string, string> } {
  const cut = cutMembers(text, 0, keys);
  expectEnd(text, cut.end);
  return { text: cut.text, removed: cut.removed };
}

/** @throws JsonSyntaxError if there is anything but white space at or after `i`. */
export function expectEnd(text: string, i: number): void {
  const end = skipSpace(text, i);
  if (end < text.length) throw new JsonSyntaxError(text, end);
}

/**
 * A copy that shares no memory with `text`. V8 lets a slice point into its parent, so one stored slice would keep a response of
 * megabytes alive. Lone surrogates become U+FFFD.
 */
export function copyText(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
}
