/** State that an event of a timeline replaced and that no answer brought: from when until when it held, in an account (T21). */

import type { AccountNo, EventId, RoomId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Statement } from "./statement.ts";

/** It held from `from_ord`, which is right before the timeline, until `to_ord`, where another event replaced it. */
export type ReplacedState = {
  readonly room_id: RoomId;
  readonly event_id: EventId;
  readonly type: string;
  readonly state_key: string;
  readonly from_ord: number;
  readonly to_ord: number;
};

/** `member`: what members have in addition; null: it is no member. */
export type ReplacedRow = ReplacedState & {
  readonly unsigned: string | null;
  readonly age_ts: number | null;
  readonly member: { readonly membership: string; readonly sort_name: string } | null;
};

/** Whether the event that replaced it is stored, and nothing before that. */
export async function isUnknown(tx: Tx, account: AccountNo, { room_id, type, state_key, from_ord, to_ord }: ReplacedState): Promise<boolean> {
  const rows =
    type === "m.room.member"
      ? tx`select from_ord, to_ord from members where account = ${account} and room_id = ${room_id} and user_id = ${state_key}`
      : tx`select from_ord, to_ord from state where account = ${account} and room_id = ${room_id} and type = ${type} and state_key = ${state_key}`;
  const [found] = await tx<{ unknown: boolean }[]>`
    select coalesce(bool_or(from_ord = ${to_ord}::bigint) and not bool_or(from_ord < ${to_ord}::bigint and to_ord > ${from_ord}::bigint), false) as unknown
    from (${rows}) r`;
  return found?.unknown === true;
}

export function writeReplaced(tx: Tx, account: AccountNo, row: ReplacedRow): Statement {
  const { room_id, type, state_key, from_ord, to_ord, event_id, unsigned, age_ts, member } = row;
  if (member === null) {
    return tx`
      insert into state (account, room_id, type, state_key, from_ord, to_ord, event_id, unsigned, age_ts)
      values (${account}, ${room_id}, ${type}, ${state_key}, ${from_ord}, ${to_ord}, ${event_id}, ${unsigned}, ${age_ts})`;
  }
  return tx`
    insert into members (account, room_id, user_id, from_ord, to_ord, event_id, membership, was, sort_name, learned, unsigned, age_ts)
    values (${account}, ${room_id}, ${state_key}, ${from_ord}, ${to_ord}, ${event_id}, ${member.membership}, null, ${member.sort_name}, true,
      ${unsigned}, ${age_ts})`;
}
