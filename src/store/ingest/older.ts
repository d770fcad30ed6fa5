/** Fetched history: rows below the oldest event of a room's timeline. */

import type { AccountNo, EventId, RoomId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

export type OlderWrite = {
  readonly idx: number;
  readonly event_id: EventId;
  readonly unsigned: string | null;
  /** See TimelineWrite. */
  readonly relations: string | null;
  readonly relations_ord: number | null;
  readonly age_ts: number | null;
  readonly sticky_until: number | null;
};
export type OlderChunk = { readonly idx: number; readonly prev_batch: string | null; readonly state: readonly EventId[] };

/** The lowest idx of the room's fetched history and the event there; 0: none is stored. */
export async function readOldest(tx: Tx, account: AccountNo, room: RoomId): Promise<{ idx: number; event_id: EventId | null }> {
  const [row] = await tx<{ idx: number; event_id: EventId }[]>`
    select idx, event_id from older where account = ${account} and room_id = ${room} order by idx limit 1`;
  return row ?? { idx: 0, event_id: null };
}

/** Which of the events the account has in the room, in its timeline or in fetched history. */
export async function readStoredIds(tx: Tx, account: AccountNo, room: RoomId, ids: readonly EventId[]): Promise<Set<EventId>> {
  const list = [...ids];
  const rows = await tx<{ event_id: EventId }[]>`
    select event_id from timeline where event_id = any(${list}::text[]) and account = ${account} and room_id = ${room}
    union all
    select event_id from older where event_id = any(${list}::text[]) and account = ${account} and room_id = ${room}`;
  return new Set(rows.map((row) => row.event_id));
}

export function writeOlder(tx: Tx, account: AccountNo, room: RoomId, rows: readonly OlderWrite[], chunk: OlderChunk): Statement[] {
  return [
    ...some(
      rows,
      (json) => tx`
      insert into older (account, room_id, idx, event_id, unsigned, relations, relations_ord, age_ts, sticky_until)
      select ${account}, ${room}, idx, event_id, unsigned, relations, relations_ord, age_ts, sticky_until
      from json_to_recordset(${json}::text::json) r (
        idx integer, event_id text, unsigned text, relations text, relations_ord bigint, age_ts bigint, sticky_until bigint)`,
    ),
    tx`
      insert into older_chunks (account, room_id, idx, prev_batch, state)
      values (${account}, ${room}, ${chunk.idx}, ${chunk.prev_batch}, ${JSON.stringify(chunk.state)})
      on conflict (account, room_id, idx) do update set prev_batch = excluded.prev_batch, state = excluded.state`,
  ];
}
