/**
 * Wake-ups across processes: NOTIFY to the others, directly to our own listeners. Processes tell each other that they are there.
 * Ids only, one a batch. A wake-up is a hint: what is lost while a connection is down is made up for by waking everybody here
 * once it is back.
 */

import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { Gathered } from "../base/gathered.ts";
import type { Logger } from "../base/logger.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../wire/ids.ts";
import { type Feed, Hub, type Listener, type Wake, type WakeKind } from "./hub.ts";

const CHANNEL = "syncv3";
/** A payload may have up to 8000 bytes: above that the rooms are left out, and anything may have changed. */
const MAX_PAYLOAD = 7000;

/** So often a process says that it is there, and after so long without a word it is taken for gone, ms. */
const HERE_MS = 20_000;
const GONE_MS = 70_000;

/** `h`: only says that the sender is there; "?": and asks who else is. */
type Payload = {
  readonly from: string;
  readonly h?: "!" | "?";
  readonly a: number;
  readonly d?: number | undefined;
  readonly k?: readonly WakeKind[] | undefined;
  readonly r?: readonly string[] | undefined;
  readonly s?: number | undefined;
  readonly c?: string | undefined;
  readonly q?: string | undefined;
};

export class PostgresFeed implements Feed {
  readonly #hub = new Hub();
  readonly #self = randomUUID();
  readonly #sql: Sql;
  readonly #logger: Logger;
  /** Many wake-ups are one statement. Nothing is lost with one that a crash of the database takes back: it is not waited for. */
  readonly #notices = new Gathered((payloads: readonly string[]) => this.#notify(payloads), { most: 1000 });
  /** When each other process was last heard of, ms of the monotonic clock. */
  readonly #others = new Map<string, number>();
  #saying: NodeJS.Timeout | null = null;
  #closed = false;
  #unlisten: (() => Promise<void>) | null = null;

  /**
   * @param sql connections that go straight to PostgreSQL, not through a transaction pooler: one is kept for LISTEN. Not those that requests
   * and pollers wait for: a wake-up would wait with them.
   */
  constructor(sql: Sql, logger: Logger) {
    this.#sql = sql;
    this.#logger = logger;
  }

  /** Starts to listen; resolves when it does. */
  async start(): Promise<void> {
    const again = () => this.#hub.wakeAll();
    const listening = await this.#sql.listen(CHANNEL, (payload) => this.#receive(payload), again);
    this.#unlisten = () => listening.unlisten();
    await this.#say("?");
    this.#saying = setInterval(() => void this.#say("!"), HERE_MS).unref();
  }

  publish(wake: Wake): void {
    this.#hub.publish(wake);
    // A newer request ends an older one: where there is nobody else, no other process has that one.
    if (this.#closed || (wake.type !== "news" && this.#isAlone())) return;
    void this.#notices.ask(this.#payload(wake));
  }

  subscribe(account: AccountNo, listener: Listener): () => void {
    return this.#hub.subscribe(account, listener);
  }

  observe(observer: Listener): void {
    this.#hub.observe(observer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#saying) clearInterval(this.#saying);
    // What was published before goes out: it is in front of this.
    await this.#say("!");
    await this.#unlisten?.();
  }

  #isAlone(): boolean {
    const now = performance.now();
    for (const [other, heardAt] of this.#others) {
      if (now - heardAt < GONE_MS) return false;
      this.#others.delete(other);
    }
    return true;
  }

  async #say(word: "!" | "?"): Promise<void> {
    await this.#notices.ask(JSON.stringify({ from: this.#self, h: word, a: 0 } satisfies Payload));
  }

  async #notify(payloads: readonly string[]): Promise<readonly undefined[]> {
    try {
      await this.#sql`
        select pg_notify(${CHANNEL}, payload), set_config('synchronous_commit', 'off', true) from unnest(${[...payloads]}::text[]) as payload`;
    } catch (error) {
      // Others find out at their own next look: the data is stored.
      this.#logger.warn({ reason: error instanceof Error ? error.message : String(error), wakeUps: payloads.length }, "Wake-ups could not be sent");
    }
    return payloads.map(() => undefined);
  }

  #payload(wake: Wake): string {
    const base = { from: this.#self, a: wake.account };
    if (wake.type === "connection") return JSON.stringify({ ...base, d: wake.device, c: wake.name, q: wake.request } satisfies Payload);
    if (wake.type === "session") return JSON.stringify({ ...base, s: wake.session, q: wake.request } satisfies Payload);
    const news: Payload = { ...base, d: wake.device, k: wake.kinds && [...wake.kinds] };
    const whole = JSON.stringify({ ...news, r: wake.rooms && [...wake.rooms] } satisfies Payload);
    return Buffer.byteLength(whole) <= MAX_PAYLOAD ? whole : JSON.stringify(news);
  }

  #receive(text: string): void {
    // Only our own processes write to the channel; anything else in it must not end us.
    let payload: Payload;
    try {
      payload = JSON.parse(text) as Payload;
    } catch {
      return;
    }
    if (payload.from === this.#self) return;
    this.#others.set(payload.from, performance.now());
    if (payload.h === "?") void this.#say("!");
    if (payload.h !== undefined) return;
    const account = payload.a as AccountNo;
    if (payload.c !== undefined) {
      const device = payload.d as DeviceNo;
      this.#hub.publish({ type: "connection", account, device, name: payload.c, request: payload.q ?? "" });
      return;
    }
    if (payload.s !== undefined) {
      this.#hub.publish({ type: "session", account, session: payload.s as SessionNo, request: payload.q ?? "" });
      return;
    }
    this.#hub.publish({
      type: "news",
      account,
      ...(payload.d !== undefined && { device: payload.d as DeviceNo }),
      ...(payload.k && { kinds: new Set(payload.k) }),
      ...(payload.r && { rooms: new Set(payload.r as RoomId[]) }),
    });
  }
}
