/**
 * Whether two JSON texts have the same canonical form: the order of members and the space between them do not count. Texts may be nested to
 * any depth, so nothing here recurses.
 */
export function isSameJson(one: string, other: string): boolean {
  if (one === other) return true;
  const pairs: [unknown, unknown][] = [[JSON.parse(one), JSON.parse(other)]];
  for (let pair = pairs.pop(); pair; pair = pairs.pop()) {
    const [a, b] = pair;
    if (a === b) continue;
    if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return false;
    const keys = Object.keys(a);
    if (keys.length !== Object.keys(b).length || !keys.every((key) => Object.hasOwn(b, key))) return false;
    for (const key of keys) pairs.push([a[key], b[key]]);
  }
  return true;
}

/** An object, or a list: its members are named by their numbers. */
function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
