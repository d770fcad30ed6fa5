/**
 * Wake-ups across processes: over a bus to the others, directly to our own listeners. Processes announce to each other that they exist. A
 * wake-up is a hint: if one may have been lost, everyone who may have needed it is woken instead.
 */

import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { Gathered } from "../base/gathered.ts";
import type { Logger } from "../base/logger.ts";
import type { AccountNo } from "../wire/ids.ts";
import type { Bus } from "./bus.ts";
import { type Feed, Hub, type WakeListener, type Wake } from "./hub.ts";
import { readText, type Word, wakeText, wordText } from "./wake-text.ts";

/** How often a process announces itself, and after how long a silent one counts as gone, ms. */
const HERE_MS = 20_000;
const GONE_MS = 70_000;
/** Time by which all existing processes have answered, ms. */
const ANSWER_MS = 5000;
/** The shortest interval between wake-ups of everyone, ms: after a failure of the bus each other process asks for one. */
const WAKE_ALL_MS = 1000;

export class SharedFeed implements Feed {
  readonly #hub = new Hub();
  readonly #self = randomUUID();
  readonly #bus: Bus;
  readonly #logger: Logger;
  /** Collects wake-ups, so that many go out together. */
  readonly #texts = new Gathered((texts: readonly string[]) => this.#send(texts), { most: 1000 });
  /** When each other process was last heard from, ms of the monotonic clock. */
  readonly #others = new Map<string, number>();
  /** From then on all other processes are known. */
  #knownAt = Infinity;
  /** A text may not have been sent; the next text that goes out says so first. */
  #unsent = false;
  #failing = false;
  #saying: NodeJS.Timeout | null = null;
  /** Set: everyone was woken just now. True: and has to be woken once more. */
  #wakingAll: { again: boolean } | null = null;
  #closed = false;

  /** Takes ownership of the bus: starts and closes it. */
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
    // A newer request ends an older one. If there is no other process, no other process has the older one.
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
    // Wake-ups published before are sent first: they are ahead of this one.
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

  /** Never rejects. If sending fails, the others notice the change at their next evaluation at the latest, because the data is stored. */
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
