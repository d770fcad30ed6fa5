/** Which exclusions of a v4 required_state narrow which inclusions. They are looked up by type and key, so that not every pair is compared. */

import type { Pattern } from "../pattern-set.ts";

export type Exclusions = {
  /** The exclusions that narrow a pattern; "all": nothing of it remains. */
  narrowing(pattern: Pattern): readonly Pattern[] | "all";
};

export function exclusionsOf(excluded: readonly Pattern[]): Exclusions {
  const byType = Map.groupBy(excluded, ({ type }) => type);
  const byKey = Map.groupBy(excluded, ({ key }) => key);
  const names = new Set(excluded.map(({ type, key }) => nameOf(type, key)));
  return {
    narrowing({ type, key }) {
      // Exclusions that match everything that the pattern does: the same pattern, or one with a wildcard for its type, its key or both.
      const wider = [nameOf(type, key), nameOf(type, undefined), nameOf(undefined, key), nameOf(undefined, undefined)];
      if (wider.some((name) => names.has(name))) return "all";
      if (type !== undefined && key !== undefined) return [];
      if (type !== undefined) return [...(byType.get(type) ?? []), ...(byType.get(undefined) ?? [])];
      if (key !== undefined) return [...(byKey.get(key) ?? []), ...(byKey.get(undefined) ?? [])];
      return excluded;
    },
  };
}

/** JSON omits undefined members, so absent and present ones have different names. */
function nameOf(type: string | undefined, key: string | undefined): string {
  return JSON.stringify({ type, key });
}
