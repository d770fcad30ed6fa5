/** JSON for people: what fits on a line is on one, long strings are shortened with `…`. */

const WIDTH = 110;
const LONGEST_STRING = 90;

/** Lines of JSON (but for the `…`), indented by two. */
export function prettyJson(value: unknown, indent = ""): string {
  const line = JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "string" ? shortened(inner) : inner)) ?? "null";
  if (typeof value !== "object" || value === null || indent.length + line.length <= WIDTH) return spaced(line);
  const deeper = `${indent}  `;
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const items = Array.isArray(value)
    ? value.map((item: unknown) => prettyJson(item, deeper))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${prettyJson(item, deeper)}`);
  return `${open}\n${items.map((item) => deeper + item).join(",\n")}\n${indent}${close}`;
}

function shortened(text: string): string {
  return text.length > LONGEST_STRING ? `${text.slice(0, LONGEST_STRING - 1)}…` : text;
}

/** A space behind each colon and comma that stands outside of a string. */
function spaced(line: string): string {
  return line.replace(/"(?:[^"\\]|\\.)*"|[:,]/g, (token) => (token === ":" || token === "," ? `${token} ` : token));
}
