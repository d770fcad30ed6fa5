/**
 * Wake-ups across processes: over a bus to the others, directly to our own listeners. Processes tell each other that they are there.
 * A wake-up is a hint: what is lost on the way is made up for by waking everybody whom it may have been for.
 */

import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { Gathered } from "../base/gathered.ts";
import type { Logger } from "../base/logger.ts";
import type { AccountNo } from "../wire/ids.ts";
import type { Bus } from "./bus.ts";
import { type Feed, Hub, type WakeListener, type Wake } from "./hub.ts";
import { readText, type Word, wakeText, wordText } from "./wake-text.ts";

/** So often a process says that it is there, and after so long without a word it is taken for gone, ms. */
const HERE_MS = 20_000;
const GONE_MS = 70_000;
/** Who is there has answered by then, ms. */
const ANSWER_MS = 5000;
/** Everybody is woken at most so often: after a failure of the bus each other process asks for it, ms. */
const WAKE_ALL_MS = 1000;

export class SharedFeed implements Feed {
  readonly #hub = new Hub();
  readonly #self = randomUUID();
  readonly #bus: Bus;
  readonly #logger: Logger;
  /** Many wake-ups go out together. */
  readonly #texts = new Gathered((texts: readonly string[]) => this.#send(texts), { most: 1000 });
  /** When each other process was last heard of, ms of the monotonic clock. */
  readonly #others = new Map<string, number>();
  /** From then on it is known who is there. */
  #knownAt = Infinity;
  /** Something may not have got out: the next that does says so first. */
  #unsent = false;
  #failing = false;
  #saying: NodeJS.Timeout | null = null;
  /** Set: everybody was woken just now; true: and is to be once more. */
  #wakingAll: { again: boolean } | null = null;
  #closed = false;

  /** Takes the bus over: starts and closes it. */
  constructor(bus: Bus, logger: Logger) {
    this.#bus = bus;
    this.#logger = logger;
  }

  /** Starts to listen. */
  async start(): Promise<void> {
    await this.#bus.start({ received: (text) => this.#receive(text), back: () => this.#back() });
    await this.#ask();
    this.#saying = setInterval(() => void this.#say("!"), HERE_MS).unref();
  }

  publish(wake: Wake): void {
    this.#hub.publish(wake);
    // A newer request ends an older one: where there is nobody else, no other process has that one.
    if (this.#closed || (wake.type !== "news" && this.#isAlone())) return;
    void this.#texts.ask(wakeText(this.#self, wake));
  }

  subscribe(account: AccountNo, listener: WakeListener): () => void {
    return this.#hub.subscribe(account, listener);
  }

  observe(observer: WakeListener): void {
    this.#hub.observe(observer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#saying) clearInterval(this.#saying);
    // What was published before goes out: it is in front of this.
    await this.#say("!");
    await this.#bus.close();
  }

  #isAlone(): boolean {
    const now = performance.now();
    if (now < this.#knownAt) return false;
    for (const [other, heardAt] of this.#others) {
      if (now - heardAt < GONE_MS) return false;
      this.#others.delete(other);
    }
    return true;
  }

  #back(): void {
    if (this.#closed) return;
    this.#unsent = true;
    this.#wakeAll();
    void this.#ask();
  }

  async #ask(): Promise<void> {
    this.#knownAt = performance.now() + ANSWER_MS;
    await this.#say("?");
  }

  async #say(word: Word): Promise<void> {
    await this.#texts.ask(wordText(this.#self, word));
  }

  /** Never rejects. Others find out at their own next look, at the latest: the data is stored. */
  async #send(texts: readonly string[]): Promise<readonly undefined[]> {
    try {
      await this.#bus.send(this.#unsent ? [wordText(this.#self, "*"), ...texts] : texts);
      if (this.#failing) this.#logger.info("Wake-ups are sent again");
      this.#unsent = this.#failing = false;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!this.#failing && !this.#closed)
        this.#logger.warn({ reason }, "Wake-ups cannot be sent: until they can, other processes answer waiting requests later");
      this.#unsent = this.#failing = true;
    }
    return texts.map(() => undefined);
  }

  #receive(text: string): void {
    const read = readText(text);
    if (read === null || read.from === this.#self) return;
    this.#others.set(read.from, performance.now());
    if (typeof read.says !== "string") this.#hub.publish(read.says);
    else if (read.says === "?") void this.#say("!");
    else if (read.says === "*") this.#wakeAll();
  }

  #wakeAll(): void {
    if (this.#wakingAll) {
      this.#wakingAll.again = true;
      return;
    }
    const waking = (this.#wakingAll = { again: false });
    this.#hub.wakeAll();
    setTimeout(() => {
      this.#wakingAll = null;
      if (waking.again) this.#wakeAll();
    }, WAKE_ALL_MS).unref();
  }
}
