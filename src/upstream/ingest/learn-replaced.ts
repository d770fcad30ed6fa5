/** Stores a state event that a timeline's event replaced, from the homeserver's answer of /event (T21). */

import { type Sql, writeTx } from "../../store/db.ts";
import { readBodiesOf, writeOwnBodies } from "../../store/ingest/bodies.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { moveOn } from "../../store/ingest/member-list.ts";
import { isUnknown, type ReplacedState, writeReplaced } from "../../store/ingest/replaced.ts";
import { writeEvents, writeRedactions } from "../../store/ingest/write-events.ts";
import { cutEvent } from "../../wire/event.ts";
import { isObject } from "../../wire/identifier.ts";
import type { AccountNo, UserId } from "../../wire/ids.ts";
import { settleEvents } from "./own-bodies.ts";
import { membershipOf, sortName } from "./room-state.ts";

export type ReplacedInput = { readonly account: AccountNo; readonly replaced: ReplacedState; readonly text: string; /** ms */ readonly now: number };

/** Past state is not news. An answer with another event, and what is known by now, changes nothing. */
export async function learnReplaced(sql: Sql, { account, replaced, text, now }: ReplacedInput): Promise<void> {
  const received = cutEvent(text, now);
  const { room_id, event_id, type, state_key } = replaced;
  if (received.kind !== "event" || received.event_id !== event_id || received.type !== type || received.state_key !== state_key) return;
  const fields: unknown = JSON.parse(text);
  if (!isObject(fields) || fields["room_id"] !== room_id) return;
  await writeTx(sql, async (tx) => {
    const [locked, bodies] = await Promise.all([lockAccount(tx, account), readBodiesOf(tx, account, [received])]);
    if (!locked || !(await isUnknown(tx, account, replaced))) return;
    const { events, own, redactions } = settleEvents([received], room_id, bodies);
    for (const { sender, ts, relation, body, redacted_because, shared, content, unsigned, age_ts } of events) {
      const user = state_key as UserId;
      const member = type === "m.room.member" ? { membership: membershipOf(content), sort_name: sortName(user, content["displayname"]) } : null;
      // oxlint-disable-next-line no-await-in-loop -- there is one
      await Promise.all([
        ...writeEvents(tx, [{ event_id, type, state_key, sender, ts, relation, body, pruned: redacted_because, shared }]),
        ...writeRedactions(tx, [{ account, writes: { redactions } }]),
        ...writeOwnBodies(tx, [{ account, writes: { ownBodies: own } }]),
        writeReplaced(tx, account, { ...replaced, unsigned, age_ts, member }),
        ...(own.length > 0 ? [moveOn(tx, account, room_id)] : []),
      ]);
    }
  });
}
