/** Places in a JSON value, for tests that spoil one at a time. */

type Path = readonly string[];

/** The paths of all values in `value`, but not of itself. */
export function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [[...path, key], ...pathsOf(item, [...path, key])]);
}

/** A copy of `value` with `other` at `path`. */
export function replaced(value: unknown, path: Path, other: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return other;
  if (Array.isArray(value)) return value.map((item, index) => (String(index) === key ? replaced(item, rest, other) : item));
  const object: Record<string, unknown> = { ...(value as Record<string, unknown>) };
  return { ...object, [key]: replaced(object[key], rest, other) };
}
