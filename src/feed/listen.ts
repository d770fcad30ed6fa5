/**
 * Wake-ups across processes: NOTIFY to the others, directly to our own listeners.
 * Ids only, one a batch. A wake-up is a hint: what is lost while a connection is down is made up for by waking everybody here
 * once it is back.
 */

import { randomUUID } from "node:crypto";
import type { Logger } from "../base/logger.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../wire/ids.ts";
import { type Feed, Hub, type Listener, type Wake, type WakeKind } from "./hub.ts";

const CHANNEL = "syncv3";
/** A payload may have up to 8000 bytes: above that the rooms are left out, and anything may have changed. */
const MAX_PAYLOAD = 7000;

type Payload = {
  readonly from: string;
  readonly a: number;
  readonly d?: number | undefined;
  readonly k?: readonly WakeKind[] | undefined;
  readonly r?: readonly string[] | undefined;
  readonly s?: number | undefined;
  readonly q?: string | undefined;
};

export class PostgresFeed implements Feed {
  readonly #hub = new Hub();
  readonly #self = randomUUID();
  readonly #sql: Sql;
  readonly #logger: Logger;
  #closed = false;
  #unlisten: (() => Promise<void>) | null = null;

  /** @param sql connections that go straight to PostgreSQL, not through a transaction pooler: one is kept for LISTEN. */
  constructor(sql: Sql, logger: Logger) {
    this.#sql = sql;
    this.#logger = logger;
  }

  /** Starts to listen; resolves when it does. */
  async start(): Promise<void> {
    const again = () => this.#hub.wakeAll();
    const listening = await this.#sql.listen(CHANNEL, (payload) => this.#receive(payload), again);
    this.#unlisten = () => listening.unlisten();
  }

  publish(wake: Wake): void {
    this.#hub.publish(wake);
    if (this.#closed) return;
    this.#sql.notify(CHANNEL, this.#payload(wake)).catch((error: unknown) => {
      // Others find out at their own next look: the data is stored.
      this.#logger.warn({ reason: error instanceof Error ? error.message : String(error) }, "A wake-up could not be sent");
    });
  }

  subscribe(account: AccountNo, listener: Listener): () => void {
    return this.#hub.subscribe(account, listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#unlisten?.();
  }

  #payload(wake: Wake): string {
    const base = { from: this.#self, a: wake.account };
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
    const account = payload.a as AccountNo;
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
