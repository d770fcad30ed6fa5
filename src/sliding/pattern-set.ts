/** Many patterns that are matched by a few look-ups, whatever their number. */

/** Matches events with a type and a state key, both index keys (wire/index-key.ts); absent: any. */
export type Pattern = { readonly type?: string; readonly key?: string };

export class PatternSet {
  readonly #types = new Set<string>();
  readonly #keys = new Set<string>();
  readonly #pairs = new Map<string, Set<string>>();
  #matchesAll = false;

  constructor(patterns: Iterable<Pattern>) {
    for (const { type, key } of patterns) {
      if (type === undefined && key === undefined) this.#matchesAll = true;
      else if (type === undefined) this.#keys.add(key ?? "");
      else if (key === undefined) this.#types.add(type);
      else {
        const keys = this.#pairs.get(type);
        if (keys) keys.add(key);
        else this.#pairs.set(type, new Set([key]));
      }
    }
  }

  has(type: string, key: string): boolean {
    return this.#matchesAll || this.#types.has(type) || this.#keys.has(key) || this.#pairs.get(type)?.has(key) === true;
  }
}
