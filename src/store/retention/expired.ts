/** Messages whose lifetime ended a day ago (T4): nobody is shown them any more. Until then a policy that was set by mistake can be taken back. */

import type { AccountNo, EventId, RoomId } from "../../wire/ids.ts";
import { lifetimeOf, type MessageRetention } from "../../wire/message-retention.ts";
import type { Db, Tx } from "../db.ts";
import { OPEN } from "../ingest/row-types.ts";
import { parseFacts } from "../room-facts.ts";
import type { Deleted } from "./account.ts";
import { deleteUnreferenced } from "./events.ts";
import { BATCH_ROWS } from "./step.ts";

/** How long messages are stored after their end, ms. */
const REST_MS = 24 * 3_600_000;

/** The next accounts by number. */
export async function accountsAfter(db: Db, after: number, limit: number): Promise<AccountNo[]> {
  const rows = await db<{ account: AccountNo }[]>`select account from accounts where account > ${after} order by account limit ${limit}`;
  return rows.map((row) => row.account);
}

/** Deletes a batch of an account's rows of expired messages, and bodies without references. */
export async function deleteExpired(tx: Tx, account: AccountNo, retention: MessageRetention, at: Date): Promise<Deleted> {
  const ends = await endsOf(tx, account, retention, at);
  const [rooms, times] = [ends.map((end) => end.roomId), ends.map((end) => end.before)];
  if (rooms.length === 0) return { rows: 0, events: 0, more: false };
  const timeline = await tx<DeletedRow[]>`
    delete from timeline t using (
      select t.ord from unnest(${rooms}::text[], ${times}::bigint[]) c (room_id, before)
      join timeline t on t.account = ${account} and t.room_id = c.room_id
      join events e using (event_id)
      where e.state_key is null and e.ts < c.before limit ${BATCH_ROWS}
    ) old
    where t.account = ${account} and t.ord = old.ord
    returning t.event_id, t.room_id, t.ord, t.gap, t.prev_batch`;
  const older = await tx<{ event_id: EventId }[]>`
    delete from older o using (
      select o.room_id, o.idx from unnest(${rooms}::text[], ${times}::bigint[]) c (room_id, before)
      join older o on o.account = ${account} and o.room_id = c.room_id
      join events e using (event_id)
      where e.state_key is null and e.ts < c.before limit ${BATCH_ROWS}
    ) old
    where o.account = ${account} and o.room_id = old.room_id and o.idx = old.idx
    returning o.event_id`;
  const feed = await tx<{ event_id: EventId }[]>`
    delete from feed_events f using (
      select f.place from unnest(${rooms}::text[], ${times}::bigint[]) c (room_id, before)
      join feed_events f on f.account = ${account} and f.room_id = c.room_id
      join events e using (event_id)
      where e.state_key is null and e.ts < c.before limit ${BATCH_ROWS}
    ) old
    where f.account = ${account} and f.place = old.place
    returning f.event_id`;
  await passGapsOn(
    tx,
    account,
    timeline.filter((row) => row.gap),
  );
  const ids = [...timeline, ...older, ...feed].map((row) => row.event_id);
  const more = [timeline, older, feed].some((deleted) => deleted.length === BATCH_ROWS);
  return { rows: ids.length, events: await deleteUnreferenced(tx, ids), more };
}

type DeletedRow = {
  readonly event_id: EventId;
  readonly room_id: RoomId;
  readonly ord: number;
  readonly gap: boolean;
  readonly prev_batch: string | null;
};

/** For each room in which messages expire, the time before which they may be deleted, ms since the epoch. The account is locked. */
async function endsOf(tx: Tx, account: AccountNo, retention: MessageRetention, at: Date): Promise<{ roomId: RoomId; before: number }[]> {
  await tx`select from accounts where account = ${account} for no key update`;
  const isOwn = retention.fallback === undefined && retention.rooms === undefined;
  const rows = await tx<{ room_id: RoomId; facts: string }[]>`
    select room_id, facts from room_facts
    where account = ${account} and to_ord = ${tx.unsafe(OPEN)} and (${!isOwn} or facts like '%"lifetime":%')`;
  return rows.flatMap(({ room_id, facts }) => {
    const lifetime = lifetimeOf(retention, room_id, parseFacts(facts).sources.lifetime);
    return lifetime === null ? [] : [{ roomId: room_id, before: at.getTime() - lifetime - REST_MS }];
  });
}

/**
 * A gap before a deleted row is now before the next one: what is between has expired. Only if no token is answered any more that is between the
 * two, as its client has no gap there; and if nothing follows, everything before the next event has expired.
 */
async function passGapsOn(tx: Tx, account: AccountNo, rows: readonly DeletedRow[]): Promise<void> {
  if (rows.length === 0) return;
  await tx`
    update timeline t set gap = true, prev_batch = coalesce(t.prev_batch, d.prev_batch)
    from (
      select distinct on (next.ord) next.ord, d.prev_batch
      from unnest(${rows.map((row) => row.room_id)}::text[], ${rows.map((row) => row.ord)}::bigint[], ${rows.map((row) => row.prev_batch)}::text[])
        d (room_id, ord, prev_batch)
      cross join lateral (
        select min(n.ord) as ord from timeline n where n.account = ${account} and n.room_id = d.room_id and n.ord > d.ord) next
      where next.ord <= (select horizon from accounts where account = ${account})
      order by next.ord, d.ord desc
    ) d
    where t.account = ${account} and t.ord = d.ord`;
}
