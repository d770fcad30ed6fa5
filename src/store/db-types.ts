/**
 * How values are sent to PostgreSQL and read back. The list is complete for our statements, so the driver does not have to ask the server
 * for its array types on each new connection: that query costs a round trip, and nothing handles its failure (N8).
 */

/** `{"a","b \"c\"",NULL}`: every element is quoted, so that the text NULL stays a text. */
function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : inQuotes(defined(value)))).join(",")}}`;
}

/** Characters that JSON escapes in another way than PostgreSQL's arrays, which only put a backslash before a quote or a backslash. */
const CONTROL = /[\u0000-\u001f]/; // oxlint-disable-line no-control-regex
const ESCAPABLE = /["\\]/;

/** Large texts are JSON, full of quotes, and the engine's own JSON quotes those several times faster than a regular expression. */
function inQuotes(text: string): string {
  if (!ESCAPABLE.test(text)) return `"${text}"`;
  if (!CONTROL.test(text) && text.isWellFormed()) return JSON.stringify(text);
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** `{1,NULL,3}`. */
function numberArray(values: readonly (number | bigint | string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : String(defined(value)))).join(",")}}`;
}

function defined<T>(value: T): T {
  if (value === undefined) throw new TypeError("an array for PostgreSQL has an undefined element");
  return value;
}

/** A one-dimensional array as PostgreSQL writes it. PostgreSQL decides whether an element is quoted; NULL without quotes is null. */
function parseArray<T>(text: string, parse: (element: string) => T): (T | null)[] {
  const element = /"((?:[^"\\]|\\.)*)"|([^{},]+)/gs;
  return Array.from(text.matchAll(element), ([, quoted, plain]) => {
    if (quoted !== undefined) return parse(quoted.replace(/\\(.)/gs, "$1"));
    return plain === "NULL" ? null : parse(plain ?? "");
  });
}

/** Octets outside printable ASCII as `\ooo`, a backslash doubled. */
const ESCAPED = /\\(\\|[0-3][0-7]{2})/g;

/** Either form of `bytea_output`: hex begins with `\x`, which the escape form never does (a backslash is doubled there). */
function parseBytea(text: string): Buffer {
  if (text.startsWith("\\x")) return Buffer.from(text.slice(2), "hex");
  const octet = (_: string, code: string): string => (code === "\\" ? code : String.fromCharCode(Number.parseInt(code, 8)));
  return Buffer.from(text.replace(ESCAPED, octet), "latin1");
}

function hexOf(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes).toString("hex")}`;
}

/** An array type, by its oid, which is the same in every version of PostgreSQL. */
const arrayOf = <V, T>(oid: number, serialize: (values: readonly V[]) => string, parse: (element: string) => T) => ({
  to: oid,
  from: [oid],
  serialize,
  parse: (text: string) => parseArray(text, parse),
});

/** Types that postgres.js does not know by itself, or reads in one form only. */
export const types = {
  /** 8-byte integers come as numbers: ours stay far below 2^53 (an open `to_ord`, 2^63-1, is only ever compared in SQL). */
  bigint: { to: 20, from: [20], serialize: (value: number | bigint) => String(value), parse: Number },
  bytea: { to: 17, from: [17], serialize: hexOf, parse: parseBytea },
  // An array of booleans, dates or bytes cannot be a parameter: the driver declares it with the type of its first element.
  smallintArray: arrayOf(1005, numberArray, Number),
  integerArray: arrayOf(1007, numberArray, Number),
  textArray: arrayOf(1009, textArray, String),
  bigintArray: arrayOf(1016, numberArray, Number),
  doubleArray: arrayOf(1022, numberArray, Number),
};
