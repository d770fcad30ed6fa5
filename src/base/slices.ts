/**
 * Long work in slices, so that one request never holds up the others. A loop that may run long calls `isDue` at each step, and awaits `pause`
 * when it returns true.
 *
 * Only one of all paused loops of the process continues in a turn of the event loop. However many there are, everything else waits for one
 * slice at most.
 */

/** How long a slice runs, ms. */
const SLICE_MS = 4;

const paused: (() => void)[] = [];

function resumeOne(): void {
  paused.shift()?.();
  if (paused.length > 0) setImmediate(resumeOne);
}

export class Slices {
  #since = performance.now();
  #steps = 0;

  /** Whether the slice has lasted long enough; the clock is read at every fourth step only. */
  get isDue(): boolean {
    this.#steps += 1;
    return this.#steps % 4 === 0 && performance.now() - this.#since > SLICE_MS;
  }

  /** Resolves when it is this loop's turn again. */
  async pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      paused.push(resolve);
      if (paused.length === 1) setImmediate(resumeOne);
    });
    this.#since = performance.now();
  }
}

/** `items.filter(test)` in slices. */
export async function filterInSlices<Item>(items: Iterable<Item>, test: (item: Item) => boolean, slices: Slices): Promise<Item[]> {
  const passed: Item[] = [];
  for (const item of items) {
    if (slices.isDue) await slices.pause();
    if (test(item)) passed.push(item);
  }
  return passed;
}

/** Runs of up to this length are sorted at once: about a millisecond. */
const RUN = 256;

/** `items.toSorted(compare)` in slices: runs that are sorted at once, merged pair by pair. */
export async function sortInSlices<Item>(items: readonly Item[], compare: (a: Item, b: Item) => number, slices: Slices): Promise<Item[]> {
  let runs: Item[][] = [];
  for (let from = 0; from < items.length; from += RUN) {
    if (slices.isDue) await slices.pause();
    runs.push(items.slice(from, from + RUN).sort(compare));
  }
  while (runs.length > 1) {
    const merged: Item[][] = [];
    for (let index = 0; index < runs.length; index += 2) merged.push(await mergeInSlices(runs[index] ?? [], runs[index + 1] ?? [], compare, slices));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function mergeInSlices<Item>(a: readonly Item[], b: readonly Item[], compare: (a: Item, b: Item) => number, slices: Slices): Promise<Item[]> {
  const merged: Item[] = [];
  let [left, right] = [0, 0];
  while (left < a.length && right < b.length) {
    if (slices.isDue) await slices.pause();
    const [leftItem, rightItem] = [a[left] as Item, b[right] as Item];
    // Of equal items the left one comes first: the order is stable.
    if (compare(leftItem, rightItem) <= 0) {
      merged.push(leftItem);
      left += 1;
    } else {
      merged.push(rightItem);
      right += 1;
    }
  }
  for (; left < a.length; left += 1) merged.push(a[left] as Item);
  for (; right < b.length; right += 1) merged.push(b[right] as Item);
  return merged;
}
