/** What could not be stored of a response (N3): saved for the operator, and requested again. */

import { gzipSync } from "node:zlib";

import type { AccountNo, DeviceNo, RoomId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Statement } from "./statement.ts";
import { OPEN } from "./row-types.ts";
import { some } from "./statement.ts";

/** `text`: a v2 response with this part alone. `error` must not contain message content. */
export type SetAsideRow = { readonly kind: string; readonly name: string; readonly error: string; readonly text: string };

export function insertSetAside(tx: Tx, account: AccountNo, device: DeviceNo, rows: readonly SetAsideRow[]): Statement[] {
  return rows.map(
    ({ kind, name, error, text }) => tx`
      insert into poison (account, device, kind, name, error, body) values (${account}, ${device}, ${kind}, ${name}, ${error}, ${gzipSync(text)})`,
  );
}

/** The rooms have events that are not stored: the next event comes after a gap, and their membership is uncertain. Unknown rooms are skipped. */
export function markGaps(tx: Tx, account: AccountNo, rooms: readonly RoomId[]): Statement[] {
  if (rooms.length === 0) return [];
  return [
    tx`
      update rooms set pending_gap = true, members = case when members = 'complete' then 'stale' else members end
      where account = ${account} and room_id = any(${[...rooms]}::text[])`,
  ];
}

/** Queues all joined rooms of the account to be read one by one, those with the newest activity first. What is stored of them has a gap. */
export function queueAllRooms(tx: Tx, account: AccountNo, rooms: readonly RoomId[]): Statement[] {
  if (rooms.length === 0) return [];
  const ids = [...rooms];
  return [
    tx`
      insert into rereads (account, kind, name, cause, due_at)
      select ${account}, 'room', r.room_id, 'too_large', now() + row_number() over (order by s.active_ord desc nulls last) * interval '1 microsecond'
      from (
        select unnest(${ids}::text[]) as room_id
        union select room_id from room_facts where account = ${account} and membership = 'join' and to_ord = ${OPEN}::bigint) r
      left join standings s on s.account = ${account} and s.room_id = r.room_id
      on conflict (account, kind, name) do update set cause = excluded.cause, due_at = excluded.due_at, tries = 0`,
    ...markGaps(tx, account, ids),
    tx`update accounts set joined_rooms = ${ids.length} where account = ${account} and not complete`,
  ];
}

/** `kind` room: `name` is its id; account_data: of the account, its type. */
export type Reread = { readonly kind: "room" | "account_data"; readonly name: string };

/** Has them read from the homeserver, `afterMs` from now. Entries that are queued already do not change. */
export function queueRereads(tx: Tx, account: AccountNo, cause: "set_aside" | "membership", afterMs: number, rows: readonly Reread[]): Statement[] {
  return some(
    rows,
    (json) => tx`
    insert into rereads (account, kind, name, cause, due_at)
    select ${account}, kind, name, ${cause}, now() + ${afterMs}::double precision * interval '1 millisecond'
    from json_to_recordset(${json}::text::json) r (kind text, name text)
    on conflict do nothing`,
  );
}
