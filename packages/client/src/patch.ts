/** JSON merge patches (RFC 7396): what of sticky parameters is said, and what is meant. */

type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value with the patch applied: it has no `null` for a member any more. */
export function patched(value: object, patch: object): Record<string, unknown> {
  const result: Record<string, unknown> = { ...value };
  for (const [key, change] of Object.entries(patch)) {
    if (change === null) delete result[key];
    else if (isObject(change)) result[key] = patched(isObject(result[key]) ? result[key] : {}, change);
    else if (change !== undefined) result[key] = change;
  }
  return result;
}

/** The smallest patch that makes `after` of `before`. */
export function difference(before: object, after: object): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  for (const [key, now] of Object.entries(after)) {
    const was = (before as JsonObject)[key];
    if (isObject(now) && isObject(was)) {
      const inner = difference(was, now);
      if (Object.keys(inner).length > 0) patch[key] = inner;
    } else if (JSON.stringify(was) !== JSON.stringify(now)) patch[key] = now;
  }
  for (const key of Object.keys(before)) if (!(key in after)) patch[key] = null;
  return patch;
}
