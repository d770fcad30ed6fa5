/** Consumers that run together, and waiting for what they have got. */

import type { Consumer } from "./consumers.ts";
import type { Count } from "./tally.ts";

export type ClientReport = {
  readonly name: string;
  /** Requests that broke, or were asked to come again. */
  readonly interrupted: number;
  readonly begunAnew: number;
  readonly toDevice: Count;
  readonly events: Count;
};

export class Followers {
  readonly #changes = new Set<() => void>();
  readonly #stopping = new AbortController();
  readonly consumers: readonly Consumer[];
  readonly #running: Promise<unknown>;

  /** @param make gets what is to be called whenever one was told something */
  constructor(make: (changed: () => void) => readonly Consumer[]) {
    this.consumers = make(() => this.#changes.forEach((look) => look()));
    this.#running = Promise.all(this.consumers.map((one) => one.run(this.#stopping.signal)));
    this.#running.catch(() => {});
  }

  /** Each has begun: what is told from now on, each is to have all of. */
  begun(): Promise<void> {
    return this.#until(() => this.consumers.every(({ tally }) => tally.answers > 0), 60_000, 0);
  }

  /** Each has the first `count` messages and events. Rejected after `ms`, with what is missing, and where one was refused what it may ask. */
  allHave(count: number, ms = 60_000): Promise<void> {
    return this.#until(() => this.consumers.every(({ tally }) => tally.hasAll(count)), ms, count);
  }

  /** Some have an event of that number or a later one. */
  someHave(n: number, ms = 60_000): Promise<void> {
    return this.#until(() => this.consumers.some(({ tally }) => tally.last("events") >= n), ms, n);
  }

  /** How the first `sent` messages and events have come. */
  reports(sent: number): ClientReport[] {
    return this.consumers.map(({ name, tally }) => ({
      name,
      interrupted: tally.interrupted,
      begunAnew: tally.begunAnew,
      toDevice: tally.count("to-device", sent),
      events: tally.count("events", sent),
    }));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running.catch(() => {});
  }

  #until(holds: () => boolean, ms: number, sent: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        this.#changes.delete(look);
        end();
      };
      const timer = setTimeout(() => settle(() => reject(new Error(`not in ${ms} ms: ${JSON.stringify(this.reports(sent))}`))), ms);
      const look = (): void => {
        if (holds()) settle(resolve);
      };
      this.#changes.add(look);
      void this.#running.then(
        () => {},
        (error: unknown) => settle(() => reject(error)),
      );
      look();
    });
  }
}

/** What every client's counts are to be. */
export function whole(sent: number): Count {
  return { through: sent, lost: 0, doubled: 0, disordered: 0 };
}
