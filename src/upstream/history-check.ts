/**
 * Whether the homeserver still has the beginning of what is stored of a room (T4): its admin may have purged history, which v2 never tells. And
 * whether it lets messages expire although it does not say so.
 */

import { type Sql, writeTx } from "../store/db.ts";
import { deleteBefore, readHistory, type StoredHistory } from "../store/history-checks.ts";
import { lockAccount } from "../store/ingest/device.ts";
import { moveOn } from "../store/ingest/member-list.ts";
import { hasSeenRetention, noteSeenRetention, readRetention } from "../store/message-retention.ts";
import type { AccountNo, EventId, RoomId } from "../wire/ids.ts";
import { lifetimeOf } from "../wire/message-retention.ts";

export type HistoryCheck = {
  readonly sql: Sql;
  readonly account: AccountNo;
  readonly roomId: RoomId;
  /** Asks the homeserver. */
  readonly isThere: (eventId: EventId) => Promise<boolean>;
  /** ms since the epoch. */
  readonly now: number;
};

/** Deletes what is not there any more. Returns whether it was anything. */
export async function checkHistory({ sql, account, roomId, isThere, now }: HistoryCheck): Promise<boolean> {
  const history = await readHistory(sql, account, roomId);
  if (!history) return false;
  // What has expired is not sent, and the homeserver does not give it. If it was only seen to do so, it is looked at again.
  const lifetime = (await hasSeenRetention(sql)) ? null : lifetimeOf(await readRetention(sql), roomId, history.lifetime);
  const messages = lifetime === null ? history.messages : history.messages.filter(({ ts }) => ts >= now - lifetime);
  const first = await firstThat(messages.length, async (n) => await isThere(idAt(messages, n)));
  // If even the newest one is gone, something else has happened to the room, or the homeserver does not know the question.
  if (first === messages.length) return false;
  if (lifetime === null && history.lifetime !== undefined) {
    const expires = isExpiry(messages, first, now - history.lifetime);
    if (expires !== undefined) await noteSeenRetention(sql, expires);
    if (expires) return false;
  }
  if (first === 0) return false;
  return await writeTx(sql, async (tx) => {
    await lockAccount(tx, account);
    const isNews = await deleteBefore(tx, account, roomId, idAt(messages, first));
    if (isNews) await moveOn(tx, account, roomId);
    return isNews;
  });
}

function idAt(messages: StoredHistory["messages"], n: number): EventId {
  const message = messages[n];
  if (!message) throw new Error(`no message ${n} of ${messages.length}`);
  return message.event_id;
}

/** Of `count` things of which a beginning is gone, the first that is there, by about log2(count) questions; `count`: none is. */
async function firstThat(count: number, isThere: (n: number) => Promise<boolean>): Promise<number> {
  if (count === 0 || (await isThere(0))) return 0;
  if (count === 1 || !(await isThere(count - 1))) return count;
  let [gone, there] = [0, count - 1];
  while (there - gone > 1) {
    const middle = Math.floor((gone + there) / 2);
    // oxlint-disable-next-line no-await-in-loop -- each question depends on the answer before
    if (await isThere(middle)) there = middle;
    else gone = middle;
  }
  return there;
}

/** Whether the messages that are gone, and no others, were sent before `end`; undefined: none was sent before it, or other things happened as well. */
function isExpiry(messages: StoredHistory["messages"], first: number, end: number): boolean | undefined {
  const isPast = (n: number) => (messages[n]?.ts ?? Infinity) < end;
  if (first < messages.length && isPast(first)) return false;
  return first > 0 && isPast(first - 1) ? true : undefined;
}
