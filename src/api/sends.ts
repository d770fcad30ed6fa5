/**
 * Which events a device has sent, by their transaction ids. The homeserver tells a transaction id only to the sending device, but a room's events
 * may arrive through the poller of any device of the account. So ids are learned here, from the answers to passed sends, for whoever adds
 * `transaction_id` to an event.
 */

import { atMost } from "../base/at-most.ts";
import type { Logger } from "../base/logger.ts";
import { type DeviceNo, isStorable } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import type { DeviceRef, SentEventStore } from "./ports.ts";
import { clientSegments } from "./proxy-path.ts";

export type SendsOptions = {
  readonly store: SentEventStore;
  readonly logger: Logger;
  /** The longest that the answer to a send waits for its id to be stored, ms. Default 5 s. */
  readonly patienceMs?: number;
};

/** The transaction id of a request that sends an event, `PUT …/send/{type}/{txnId}` or `PUT …/redact/{eventId}/{txnId}`; otherwise null. */
export function transactionOf(method: string, target: string): string | null {
  if (method !== "PUT") return null;
  const path = clientSegments(target);
  const [rooms, , action, , txnId] = path ?? [];
  return path?.length === 5 && rooms === "rooms" && (action === "send" || action === "redact") && txnId !== undefined && txnId !== "" ? txnId : null;
}

/** The sends in progress in this process. */
export class Sends {
  readonly #store: SentEventStore;
  readonly #logger: Logger;
  readonly #patienceMs: number;
  readonly #underWay = new Map<DeviceNo, Set<Promise<void>>>();

  constructor(options: SendsOptions) {
    this.#store = options.store;
    this.#logger = options.logger;
    this.#patienceMs = options.patienceMs ?? 5000;
  }

  /**
   * A send of the device begins. It ends when the returned function is called (again calls do nothing): by then its id is learned, or will not be.
   */
  begin(device: DeviceNo): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const sends = this.#underWay.get(device) ?? new Set();
    this.#underWay.set(device, sends.add(promise));
    return () => {
      resolve();
      sends.delete(promise);
      if (sends.size === 0 && this.#underWay.get(device) === sends) this.#underWay.delete(device);
    };
  }

  /** Resolves when all sends of the device that have begun by now have ended, after `maxMs` at the latest. Never rejects. */
  async settled(device: DeviceNo, maxMs: number): Promise<void> {
    const sends = this.#underWay.get(device);
    if (sends) await atMost(Promise.all(sends), maxMs);
  }

  /** Learns from the homeserver's answer to a send. Failures are only logged: the client's event is sent. */
  async learn({ account, device }: DeviceRef, txnId: string, answer: string): Promise<void> {
    const eventId = eventIdOf(answer);
    // A transaction id with NUL cannot be stored, so the event stays without it.
    if (eventId === null || !isStorable(txnId)) return;
    try {
      const stored = await atMost(this.#store.learned({ account, device, eventId, txnId }), this.#patienceMs);
      if (stored === "late")
        this.#logger.warn({ device }, "The transaction ID of a sent event is not stored yet; its answer goes out without waiting");
    } catch (error) {
      this.#logger.error(
        { reason: error instanceof Error ? error.message : String(error), device },
        "The transaction ID of a sent event could not be stored",
      );
    }
  }

  /** Runs `find`; null if it fails or takes too long: a send must not fail because of our database. */
  async find<T>(find: () => Promise<T | null>): Promise<T | null> {
    try {
      const found = await atMost(find(), this.#patienceMs);
      if (found !== "late") return found;
      this.#logger.warn({}, "The sender of an event could not be determined in time; its transaction ID is not stored");
    } catch (error) {
      this.#logger.warn(
        { reason: error instanceof Error ? error.message : String(error) },
        "The sender of an event could not be determined; its transaction ID is not stored",
      );
    }
    return null;
  }
}

function eventIdOf(answer: string): string | null {
  const body = JSON.parse(answer) as { readonly event_id?: unknown } | null;
  return typeof body?.event_id === "string" ? indexKey(body.event_id) : null;
}
