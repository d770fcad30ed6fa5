/**
 * Bans and kicks with `redact_events` (T5, MSC4293): whether the homeserver has redacted the user's events, which it may not support or allow,
 * shows in one of them.
 */

import { LRUCache } from "lru-cache";
import { type BannedEvent, eventsBeforeBan, findBan, type StoredBan } from "../store/ban-redactions.ts";
import type { Db } from "../store/db.ts";
import type { AccountNo, EventId } from "../wire/ids.ts";
import { eventText } from "../wire/event.ts";
import { isObject } from "../wire/identifier.ts";
import { pruneEvent } from "../wire/redact.ts";
import type { HomeserverClient } from "./client.ts";
import { withReason } from "./ingest/redactions.ts";

/** Bans of which it is remembered that they redact nothing: each account in the room comes to the same question. */
const MOST_KNOWN = 1000;

export class BanRedactions {
  readonly #client: Pick<HomeserverClient, "event">;
  readonly #without = new LRUCache<EventId, true>({ max: MOST_KNOWN });

  constructor(client: Pick<HomeserverClient, "event">) {
    this.#client = client;
  }

  /** A v2 response with the redacted events as the homeserver would send them now; null: nothing is redacted. */
  async read(db: Db, account: AccountNo, banId: EventId, token: string, signal: AbortSignal): Promise<string | null> {
    const ban = this.#without.has(banId) ? null : await findBan(db, account, banId);
    const events = ban ? await eventsBeforeBan(db, account, ban) : [];
    if (!ban || events.length === 0) return null;
    // If all are pruned, another account has asked.
    const example = events.findLast((event) => !event.pruned);
    if (example && !(await this.#isRedacted(ban, example, token, signal))) {
      this.#without.set(banId, true);
      return null;
    }
    const because = eventText({ body: ban.body, room_id: ban.roomId, unsigned: null, age_ts: null, txn_id: null }, 0);
    const texts = events.map((event) => redactedText(event, ban, because));
    return `{"next_batch":"read","rooms":{"join":{${JSON.stringify(ban.roomId)}:{"timeline":{"events":[${texts.join(",")}]}}}}}`;
  }

  async #isRedacted({ roomId }: StoredBan, { event_id }: BannedEvent, token: string, signal: AbortSignal): Promise<boolean> {
    const event = JSON.parse((await this.#client.event(token, roomId, event_id, signal)).text) as Record<string, unknown>;
    return isObject(event["unsigned"]) && isObject(event["unsigned"]["redacted_because"]);
  }
}

function redactedText({ type, body, pruned, unsigned }: BannedEvent, { roomVersion }: StoredBan, because: string): string {
  const rest = pruned ? body : pruneEvent(body, type, roomVersion);
  return eventText({ body: rest, room_id: null, unsigned: withReason(unsigned, because), age_ts: null, txn_id: null }, 0);
}
