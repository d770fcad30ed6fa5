/** Which exclusions of a v4 required_state narrow which inclusion: found by type and key, not by comparing each with each. */

import type { Pattern } from "../pattern-set.ts";

export type Exclusions = {
  /** Those that take something from what a pattern matches; "all": nothing is left of it. */
  narrowing(pattern: Pattern): readonly Pattern[] | "all";
};

export function exclusionsOf(excluded: readonly Pattern[]): Exclusions {
  const byType = Map.groupBy(excluded, ({ type }) => type);
  const byKey = Map.groupBy(excluded, ({ key }) => key);
  const names = new Set(excluded.map(({ type, key }) => nameOf(type, key)));
  return {
    narrowing({ type, key }) {
      // Whatever matches no less than the pattern: itself, or with a wildcard in place of its type, its key or both.
      const wider = [nameOf(type, key), nameOf(type, undefined), nameOf(undefined, key), nameOf(undefined, undefined)];
      if (wider.some((name) => names.has(name))) return "all";
      if (type !== undefined && key !== undefined) return [];
      if (type !== undefined) return [...(byType.get(type) ?? []), ...(byType.get(undefined) ?? [])];
      if (key !== undefined) return [...(byKey.get(key) ?? []), ...(byKey.get(undefined) ?? [])];
      return excluded;
    },
  };
}

/** JSON leaves out what is undefined, and keeps the two apart. */
function nameOf(type: string | undefined, key: string | undefined): string {
  return JSON.stringify({ type, key });
}
