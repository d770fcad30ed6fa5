/** Cuts a list down to a small one that still has a property: halves first, then single items, as long as there is time. */

/** @param still whether a shorter list has it as well */
export async function shrink<T>(items: readonly T[], still: (items: readonly T[]) => Promise<boolean>, until: number): Promise<T[]> {
  let kept = [...items];
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    // From the end: what is there last seldom matters to what was before.
    for (let end = kept.length; end > 0; end -= size) {
      if (performance.now() > until) return kept;
      const shorter = kept.toSpliced(Math.max(0, end - size), Math.min(size, end));
      if (shorter.length < kept.length && (await still(shorter))) kept = shorter;
    }
  }
  return kept;
}
