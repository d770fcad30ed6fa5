/**
 * What the homeserver is told of a user's presence: what the user's clients said with `set_presence`, while their requests wait or have come lately;
 * of several the most present; `offline` otherwise, which marks nobody as anything. Each change means a poll, so there are few of them.
 */

import { mostPresent, type Presence } from "../wire/presence.ts";

/** How long what a request says is valid, ms. Requests that wait say it again before. */
const VALID_MS = 30_000;
/** The least time between two changes, ms. */
const REST_MS = 25_000;
/** A user has few connections at a time. Beyond this the one that was heard longest ago is left out. */
const MAX_CONNECTIONS = 100;

export type ShownPresenceDeps = {
  /** Milliseconds; only differences count. */
  readonly now: () => number;
  /** Called when `presence` has changed. */
  readonly changed: () => void;
};

export class ShownPresence {
  readonly #deps: ShownPresenceDeps;
  /** By connection, the one that was heard last at the end. */
  readonly #said = new Map<string, { readonly presence: Presence; readonly until: number }>();
  #presence: Presence = "offline";
  #changedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: ShownPresenceDeps) {
    this.#deps = deps;
  }

  get presence(): Presence {
    return this.#presence;
  }

  /** A request of that connection is here, and says so. */
  said(connection: string, presence: Presence): void {
    this.#said.delete(connection);
    this.#said.set(connection, { presence, until: this.#deps.now() + VALID_MS });
    const [oldest] = this.#said.keys();
    if (this.#said.size > MAX_CONNECTIONS && oldest !== undefined) this.#said.delete(oldest);
    this.#update();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #update(): void {
    clearTimeout(this.#timer);
    const now = this.#deps.now();
    for (const [connection, { until }] of this.#said) if (until <= now) this.#said.delete(connection);
    const wanted = mostPresent([...this.#said.values()].map(({ presence }) => presence));
    const isChange = wanted !== this.#presence;
    const mayChangeAt = this.#changedAt + REST_MS;
    const dueAt = Math.min(...[...this.#said.values()].map(({ until }) => until), isChange && now < mayChangeAt ? mayChangeAt : Infinity);
    if (dueAt < Infinity) this.#timer = setTimeout(() => this.#update(), dueAt - now);
    if (!isChange || now < mayChangeAt) return;
    this.#presence = wanted;
    this.#changedAt = now;
    this.#deps.changed();
  }
}
