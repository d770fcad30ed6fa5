/** The ephemeral events of a room in a v2 response: typing and receipts. */

import { isIdentifier, isObject } from "./identifier.ts";
import type { EventId, UserId } from "./ids.ts";
import { indexKey } from "./index-key.ts";
import { copyText, skipValue } from "./json-scan.ts";
import { isEventId, isUserId } from "./matrix-id.ts";
import { readReceiptData } from "./receipt.ts";
import type { PartReading } from "./v2-part.ts";
import { parseValue, readMap, readMembers, skip, userIdsOf } from "./v2-part.ts";

/** One user's receipt. */
export type Receipt = {
  readonly event_id: EventId;
  /** `m.read`, `m.read.private`, … */
  readonly kind: string;
  readonly user_id: UserId;
  /** '' for an unthreaded receipt, `main` for the main timeline, else the index key of the thread's root (index-key.ts). */
  readonly thread_id: string;
  /** The receipt data under the user id: `{"ts":…,"thread_id":…}`, see readReceiptData. */
  readonly data: string;
};

/** `typing`: the full present set, null if the response has none. `receipts`: one for each user, kind and thread. */
export type Ephemeral = { typing: UserId[] | null; receipts: Receipt[] };

/** Reads one ephemeral event into `into`; the last m.typing counts. */
export function readEphemeral(r: PartReading, start: number, where: string, into: EphemeralBuilder): number {
  if (r.text.charAt(start) !== "{") return skip(r, start, where, "not an object");
  let type: unknown = null;
  let contentStart = -1;
  const end = readMembers(r, start, where, {
    type: (at) => {
      const parsed = parseValue(r, at);
      type = parsed.value;
      return parsed.end;
    },
    content: (at) => {
      contentStart = at;
      return parseValue(r, at).end;
    },
  });
  if (contentStart < 0) r.skipped.push({ where, reason: "no content" });
  else if (type === "m.typing") readTyping(r, contentStart, where, into);
  else if (type === "m.receipt") readReceipts(r, contentStart, `${where}.content`, into);
  else r.skipped.push({ where, reason: "unknown type" });
  return end;
}

function readTyping(r: PartReading, start: number, where: string, into: EphemeralBuilder): void {
  const { value } = parseValue(r, start);
  const users = isObject(value) ? value["user_ids"] : undefined;
  if (Array.isArray(users)) into.typing = userIdsOf(r, users, `${where}.content.user_ids`);
  else r.skipped.push({ where, reason: "user_ids is not a list" });
}

/** content = event id → kind → user id → data. */
function readReceipts(r: PartReading, start: number, where: string, into: EphemeralBuilder): void {
  readMap(r, start, where, isEventId, (event_id, kindsStart, inEvent) =>
    readMap(r, kindsStart, inEvent, isIdentifier, (kind, usersStart, inKind) =>
      readMap(r, usersStart, inKind, isUserId, (user_id, dataStart, atUser) => {
        const end = skipValue(r.text, dataStart);
        const data = readReceiptData(copyText(r.text.slice(dataStart, end)));
        if (data === null) r.skipped.push({ where: atUser, reason: "not a receipt" });
        else into.addReceipt({ event_id, kind, user_id, thread_id: indexKey(data.thread), data: data.text }, data.ts);
        return end;
      }),
    ),
  );
}

/** Collects a room's ephemeral events; of a user's receipts of one kind and thread the newest by `ts` stays, of equals the last. */
export class EphemeralBuilder {
  typing: UserId[] | null = null;
  readonly #receipts = new Map<string, { receipt: Receipt; ts: number }>();

  addReceipt(receipt: Receipt, ts: number): void {
    const key = JSON.stringify([receipt.user_id, receipt.kind, receipt.thread_id]);
    const known = this.#receipts.get(key);
    if (!known || known.ts <= ts) this.#receipts.set(key, { receipt, ts });
  }

  build(): Ephemeral {
    return { typing: this.typing, receipts: Array.from(this.#receipts.values(), ({ receipt }) => receipt) };
  }
}
