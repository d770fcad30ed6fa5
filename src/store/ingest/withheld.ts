/** The rows of rooms into which withheld messages are put (T2). */

import type { AccountNo, EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { Db, Tx } from "../db.ts";
import { OPEN } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

/** A row of a timeline. `older`: the room has rows before it. */
export type TimelinePlace = { readonly event_id: EventId; readonly ord: number; readonly gap: boolean; readonly older: boolean };

/** The room's rows from the oldest of these events on, in order; if it has none of them, those after `position`. */
export async function readPlaces(
  tx: Tx,
  account: AccountNo,
  room: RoomId,
  { events, position }: { readonly events: readonly EventId[]; readonly position: number },
): Promise<TimelinePlace[]> {
  return await tx<TimelinePlace[]>`
    with start as (
      select coalesce(min(ord), ${position}::bigint + 1) as ord from timeline
      where account = ${account} and room_id = ${room} and event_id = any(${[...events]}::text[]))
    select t.event_id, t.ord, t.gap, exists (
        select from timeline o where o.account = ${account} and o.room_id = ${room} and o.ord < t.ord) as older
    from timeline t, start where t.account = ${account} and t.room_id = ${room} and t.ord >= start.ord order by t.ord`;
}

/**
 * Of a page of the room's events, oldest first: who sent those that the account lacks since the oldest one that it has, and whose membership it
 * does not know.
 */
export async function unknownSenders(
  db: Db,
  account: AccountNo,
  room: RoomId,
  events: readonly { readonly event_id: EventId; readonly sender: UserId }[],
): Promise<UserId[]> {
  const page = events.map(({ event_id, sender }, place) => ({ event_id, sender, place }));
  const rows = await db<{ sender: UserId }[]>`
    with p as (
      select p.*, exists (
        select from timeline t where t.account = ${account} and t.room_id = ${room} and t.event_id = p.event_id) as stored
      from json_to_recordset(${JSON.stringify(page)}::text::json) p (event_id text, sender text, place integer))
    select distinct p.sender from p
    where not p.stored and p.place >= coalesce((select min(place) from p where stored), 0)
      and not exists (select from members m where m.account = ${account} and m.room_id = ${room} and m.user_id = p.sender and m.to_ord = ${OPEN}::bigint)`;
  return rows.map((row) => row.sender);
}

/** An event's row gets another ordinal, above all others, and what it may say now; `unsigned` stays where `isRead` is false. */
export type RowMove = {
  readonly event_id: EventId;
  readonly old: number;
  readonly ord: number;
  readonly isRead: boolean;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
};

/**
 * Moves rows of a timeline, and with each what its event began and ended of the room's state: so that the state before any event stays what it
 * was.
 */
export function moveRows(tx: Tx, account: AccountNo, moves: readonly RowMove[]): Statement[] {
  const [ids, olds] = [moves.map((move) => move.event_id), moves.map((move) => move.old)];
  // A row that ended by something else than an event that moves, too, stays where it is.
  const moveSpans = (table: "state" | "members") =>
    some(
      moves,
      (rows) => tx`
      with r as (select * from json_to_recordset(${rows}::text::json) r (old bigint, ord bigint))
      update ${tx(table)} x set from_ord = coalesce(b.ord, x.from_ord), to_ord = coalesce(e.ord, x.to_ord)
      from (
        select from_ord, to_ord, ctid as row from ${tx(table)} where account = ${account} and event_id = any(${ids}::text[])
        union
        select from_ord, to_ord, ctid from ${tx(table)}
        where account = ${account} and to_ord = any(${olds}::bigint[]) and to_ord < ${tx.unsafe(OPEN)}
      ) y
      left join r e on e.old = y.to_ord
      left join r b on b.old = y.from_ord and (y.to_ord = ${OPEN}::bigint or e.old is not null)
      where x.ctid = y.row and x.account = ${account} and coalesce(b.ord, e.ord) is not null`,
    );
  return [
    ...some(
      moves,
      (rows) => tx`
      update timeline x set ord = r.ord, unsigned = case when r."isRead" then r.unsigned else x.unsigned end,
        age_ts = case when r."isRead" then r.age_ts else x.age_ts end
      from json_to_recordset(${rows}::text::json) r (old bigint, ord bigint, "isRead" boolean, unsigned text, age_ts bigint)
      where x.account = ${account} and x.ord = r.old`,
    ),
    ...moveSpans("state"),
    ...moveSpans("members"),
  ];
}

/** `gap` false: nothing is missing before that row any more. `prev_batch` null: it stays; with `gap` false it goes. */
export type GapWrite = { readonly ord: number; readonly gap: boolean; readonly prev_batch: string | null };

export function writeGaps(tx: Tx, account: AccountNo, gaps: readonly GapWrite[]): Statement[] {
  return some(
    gaps,
    (rows) => tx`
    update timeline t set gap = r.gap, prev_batch = case when r.gap then coalesce(r.prev_batch, t.prev_batch) end
    from json_to_recordset(${rows}::text::json) r (ord bigint, gap boolean, prev_batch text)
    where t.account = ${account} and t.ord = r.ord`,
  );
}

/**
 * Messages may be missing anywhere in those rooms, also after the newest event: it comes after a gap now, and `prev_batch` is after it. They are
 * read `afterMs` from now, in this order.
 */
export function leaveGaps(tx: Tx, account: AccountNo, rooms: readonly RoomId[], prevBatch: string, afterMs: number): Statement[] {
  return some(
    rooms,
    (ids) => tx`
    with r as (select room_id, place from json_array_elements_text(${ids}::text::json) with ordinality as r (room_id, place)),
    queued as (
      insert into rereads (account, kind, name, cause, due_at)
      select ${account}, 'withheld', room_id, 'withheld', now() + (${afterMs}::double precision + place / 1000.0) * interval '1 millisecond' from r
      on conflict (account, kind, name) do update set due_at = excluded.due_at, tries = 0)
    update timeline t set gap = true, prev_batch = ${prevBatch}
    from r cross join lateral (
      select max(ord) as ord from timeline n where n.account = ${account} and n.room_id = r.room_id) n
    where t.account = ${account} and t.ord = n.ord`,
  );
}

/**
 * The newest row of a room. `ts`: of its event, if that is new; `bumped`: of the newest event that counts as activity (plan-standings.ts), if that
 * is new; ms.
 */
export type NewestRow = { readonly room_id: RoomId; readonly ord: number; readonly ts: number | null; readonly bumped: number | null };

/** Rooms with new activity come right before those whose newest event is not newer. */
function writeActivity(tx: Tx, account: AccountNo, newest: readonly NewestRow[]): Statement[] {
  return some(
    newest.filter(({ ts, bumped }) => ts !== null || bumped !== null),
    (rows) => tx`
    update standings s set active_ord = greatest(s.active_ord, n.active + 1), bump_ord = greatest(s.bump_ord, n.bump + 1)
    from json_to_recordset(${rows}::text::json) r (room_id text, ts bigint, bumped bigint)
    cross join lateral (
      select max(o.active_ord) filter (where x.last_ts <= r.ts) as active, max(o.bump_ord) filter (where x.last_ts <= r.bumped) as bump
      from standings o join rooms x using (account, room_id) where o.account = ${account} and o.room_id <> r.room_id) n
    where s.account = ${account} and s.room_id = r.room_id`,
  );
}

/** Ends the batch: the account's new position, at which those rooms changed. Their fetched history may lack messages, too. */
export function writeWoven(tx: Tx, account: AccountNo, rooms: readonly RoomId[], newest: readonly NewestRow[], position: number): Statement[] {
  const ids = [...rooms];
  return [
    ...some(
      newest,
      (rows) => tx`
      update rooms x set last_ord = r.ord, last_ts = coalesce(r.ts, x.last_ts)
      from json_to_recordset(${rows}::text::json) r (room_id text, ord bigint, ts bigint)
      where x.account = ${account} and x.room_id = r.room_id`,
    ),
    ...writeActivity(tx, account, newest),
    tx`delete from older where account = ${account} and room_id = any(${ids}::text[])`,
    tx`delete from older_chunks where account = ${account} and room_id = any(${ids}::text[])`,
    tx`update accounts set position = ${position} where account = ${account}`,
    tx`update standings set changed_ord = ${position} where account = ${account} and room_id = any(${ids}::text[])`,
  ];
}

/** Those rooms were read. */
export function endWithheld(tx: Tx, account: AccountNo, rooms: readonly RoomId[]): Statement {
  return tx`delete from rereads where account = ${account} and kind = 'withheld' and name = any(${[...rooms]}::text[])`;
}
