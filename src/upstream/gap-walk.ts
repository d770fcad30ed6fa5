/**
 * What a walk back from the end of a gap finds (S6). Pages of /messages are in the order of the room's graph, in which an event that another server
 * sent late may be before events that came earlier: so a page is read to its end, and of the stretch that leads up to the gap what is unknown
 * belongs to the gap, too.
 */

import type { GapSide } from "../store/ingest/feed.ts";
import type { CutEvent } from "../wire/event.ts";
import type { EventId } from "../wire/ids.ts";

export type WalkedPage = {
  /** Newest first. */
  readonly events: readonly CutEvent[];
  readonly sides: ReadonlyMap<EventId, GapSide>;
  /** Nothing is older. */
  readonly isLast: boolean;
};

export class GapWalk {
  /** Newest first. */
  readonly #missing: CutEvent[] = [];
  readonly #isStart: (event: CutEvent) => boolean;
  #isComplete = false;
  #isOver = false;

  /** @param isStart whether an event is the first one of the gap, itself missing */
  constructor(isStart: (event: CutEvent) => boolean) {
    this.#isStart = isStart;
  }

  /** The missing events, oldest first. */
  get missing(): CutEvent[] {
    return this.#missing.toReversed();
  }

  /** Nothing else is missing. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** There is no older page to be read. */
  get isOver(): boolean {
    return this.#isOver;
  }

  add({ events, sides, isLast }: WalkedPage): void {
    let unknown: CutEvent[] = [];
    const keep = () => {
      this.#missing.push(...unknown);
      unknown = [];
    };
    for (const event of events) {
      const side = sides.get(event.event_id);
      if (side === "after") continue;
      if (side === undefined) {
        unknown.push(event);
        if (!this.#isStart(event)) continue;
      }
      // What is between the stretch that leads up to the gap and what is stored from before it belongs to an older gap.
      if (side !== "before" || !this.#isComplete) keep();
      this.#isComplete = true;
      if (side !== "joined") break;
    }
    if (!this.#isComplete) keep();
    // The room's creation has nothing before it; anything else may have been deleted.
    if (isLast && this.#missing.at(-1)?.type === "m.room.create") this.#isComplete = true;
    this.#isOver = this.#isComplete || isLast;
  }
}
