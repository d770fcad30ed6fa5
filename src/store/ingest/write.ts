/** Writes a planned batch: one statement a table, all sent at once. Everything rests on the account's lock being held. */

import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { DeviceWrites, RoomWrites, StandingRow } from "./rows.ts";
import { OPEN } from "./rows.ts";
import type { Query } from "./statement.ts";
import { some } from "./statement.ts";
import { writeEvents, writeRedactions } from "./write-events.ts";

/** The account's part, `since` included: with it the account has been told everything once (D23). */
export function writeRooms(tx: Tx, account: AccountNo, device: DeviceNo, since: string, writes: RoomWrites): Query[] {
  return [
    ...writeEvents(tx, writes.events),
    ...writeTimeline(tx, account, device, writes),
    ...writeState(tx, account, writes),
    ...writeMembers(tx, account, writes),
    ...writeRoomRows(tx, account, writes),
    ...writeStandings(tx, account, writes.standings),
    ...writeParts(tx, account, writes),
    ...writeRedactions(tx, account, writes),
    ...writeAccount(tx, account, since, writes),
  ];
}

/** The device's part, `since` included. */
export function writeDevice(tx: Tx, device: DeviceNo, writes: DeviceWrites): Query[] {
  const { toDevice, passed, deviceLists } = writes;
  return [
    ...some(
      toDevice,
      (rows) => tx`
      insert into to_device (device, seq, before_pos, body, hash)
      select ${device}, seq, before_pos, body, decode(hash, 'hex')
      from json_to_recordset(${rows}::text::json) r (seq bigint, before_pos bigint, body text, hash text)`,
    ),
    ...some(
      passed,
      (rows) => tx`
      update to_device_passed p set times = greatest(0, p.times - r.times)
      from json_to_recordset(${rows}::text::json) r (hash text, times integer) where p.device = ${device} and p.hash = decode(r.hash, 'hex')`,
    ),
    ...some(
      deviceLists,
      (rows) => tx`
      insert into device_lists (device, user_id, kind, seq)
      select ${device}, user_id, kind, seq from json_to_recordset(${rows}::text::json) r (user_id text, kind text, seq bigint)
      on conflict (device, user_id) do update set kind = excluded.kind, seq = excluded.seq`,
    ),
    tx`update devices set since = ${writes.since}, seq = ${writes.seq}, one_time_keys = ${writes.one_time_keys},
         fallback_keys = ${writes.fallback_keys}, counts_seq = ${writes.counts_seq} where device = ${device}`,
  ];
}

/** The since of the rooms alone, where what came with it could not be stored. */
export function writeAccountSince(tx: Tx, account: AccountNo, since: string): Query {
  return tx`update accounts set since = ${since}, complete = true where account = ${account}`;
}

function writeAccount(tx: Tx, account: AccountNo, since: string, writes: RoomWrites): Query[] {
  const queries: Query[] = [
    tx`
      update accounts set since = ${since}, complete = true, position = ${writes.position}, ignored = coalesce(${writes.ignored}::text, ignored)
      where account = ${account}`,
  ];
  if (writes.endSessions) queries.push(tx`delete from sessions where account = ${account} and kind in ('v3', 'connection')`);
  return queries;
}

function writeTimeline(tx: Tx, account: AccountNo, device: DeviceNo, writes: RoomWrites): Query[] {
  return some(
    writes.timeline,
    (rows) => tx`
    insert into timeline (account, ord, room_id, event_id, unsigned, age_ts, txn_id, txn_device, gap, prev_batch, notify)
    select ${account}, ord, room_id, event_id, unsigned, age_ts, txn_id, case when txn_id is null then null else ${device}::bigint end, gap, prev_batch,
           notify
    from json_to_recordset(${rows}::text::json) r (
      ord bigint, room_id text, event_id text, unsigned text, age_ts bigint, txn_id text, gap boolean, prev_batch text, notify boolean)`,
  );
}

function writeState(tx: Tx, account: AccountNo, writes: RoomWrites): Query[] {
  return [
    ...some(
      writes.stateEnds,
      (rows) => tx`
      update state s set to_ord = r.to_ord
      from json_to_recordset(${rows}::text::json) r (room_id text, type text, state_key text, to_ord bigint)
      where s.account = ${account} and s.room_id = r.room_id and s.type = r.type and s.state_key = r.state_key and s.to_ord = ${OPEN}::bigint`,
    ),
    ...some(
      writes.state,
      (rows) => tx`
      insert into state (account, room_id, type, state_key, from_ord, to_ord, event_id, unsigned, age_ts)
      select ${account}, room_id, type, state_key, from_ord, coalesce(to_ord, ${OPEN}::bigint), event_id, unsigned, age_ts
      from json_to_recordset(${rows}::text::json) r (
        room_id text, type text, state_key text, from_ord bigint, to_ord bigint, event_id text, unsigned text, age_ts bigint)`,
    ),
  ];
}

/** Also for a member list that was fetched: see learn-members.ts. */
export function writeMembers(tx: Tx, account: AccountNo, writes: Pick<RoomWrites, "members" | "memberEnds" | "membersEnds">): Query[] {
  return [
    ...some(
      writes.memberEnds,
      (rows) => tx`
      update members m set to_ord = r.to_ord
      from json_to_recordset(${rows}::text::json) r (room_id text, user_id text, to_ord bigint)
      where m.account = ${account} and m.room_id = r.room_id and m.user_id = r.user_id and m.to_ord = ${OPEN}::bigint`,
    ),
    ...some(
      writes.membersEnds,
      (rows) => tx`
      update members m set to_ord = r.to_ord
      from json_to_recordset(${rows}::text::json) r (room_id text, to_ord bigint, before bigint, keep json)
      where m.account = ${account} and m.room_id = r.room_id and m.to_ord = ${OPEN}::bigint and m.from_ord <= r.before
        and not exists (select from json_array_elements_text(r.keep) k (user_id) where k.user_id = m.user_id)`,
    ),
    ...some(
      writes.members,
      (rows) => tx`
      insert into members (account, room_id, user_id, from_ord, to_ord, event_id, membership, was, sort_name, learned, unsigned, age_ts)
      select ${account}, room_id, user_id, from_ord, coalesce(to_ord, ${OPEN}::bigint), event_id, membership, was, sort_name, learned, unsigned, age_ts
      from json_to_recordset(${rows}::text::json) r (
        room_id text, user_id text, from_ord bigint, to_ord bigint, event_id text, membership text, was text, sort_name text, learned boolean,
        unsigned text, age_ts bigint)`,
    ),
  ];
}

/** Also for a member list that was fetched. */
export function writeRoomRows(tx: Tx, account: AccountNo, writes: Pick<RoomWrites, "rooms" | "facts">): Query[] {
  return [
    ...some(
      writes.rooms,
      (rows) => tx`
      insert into rooms (account, room_id, last_ord, last_ts, members, unsure_ord, pending_gap)
      select ${account}, room_id, last_ord, last_ts, members, unsure_ord, pending_gap
      from json_to_recordset(${rows}::text::json) r (
        room_id text, last_ord bigint, last_ts bigint, members text, unsure_ord bigint, pending_gap boolean)
      on conflict (account, room_id) do update set last_ord = excluded.last_ord, last_ts = excluded.last_ts, members = excluded.members,
        unsure_ord = excluded.unsure_ord, pending_gap = excluded.pending_gap`,
    ),
    ...some(
      writes.facts,
      (rows) => tx`
      with r as (select * from json_to_recordset(${rows}::text::json) r (room_id text, from_ord bigint, membership text, facts text)),
      ended as (
        update room_facts f set to_ord = r.from_ord from r
        where f.account = ${account} and f.room_id = r.room_id and f.to_ord = ${OPEN}::bigint)
      insert into room_facts (account, room_id, from_ord, membership, facts) select ${account}, room_id, from_ord, membership, facts from r`,
    ),
  ];
}

function writeStandings(tx: Tx, account: AccountNo, standings: readonly StandingRow[]): Query[] {
  return some(
    standings,
    (rows) => tx`
    insert into standings (account, room_id, changed_ord, membership_ord, active_ord, bump_ord, kicked, ever_joined, inviter)
    select ${account}, room_id, changed_ord, membership_ord, active_ord, bump_ord, kicked, ever_joined, inviter
    from json_to_recordset(${rows}::text::json) r (room_id text, changed_ord bigint, membership_ord bigint, active_ord bigint, bump_ord bigint,
      kicked boolean, ever_joined boolean, inviter text)
    on conflict (account, room_id) do update set changed_ord = excluded.changed_ord, membership_ord = excluded.membership_ord,
      active_ord = excluded.active_ord, bump_ord = excluded.bump_ord, kicked = excluded.kicked, ever_joined = excluded.ever_joined,
      inviter = excluded.inviter`,
  );
}

function writeParts(tx: Tx, account: AccountNo, writes: RoomWrites): Query[] {
  return [
    ...some(
      writes.typing,
      (rows) => tx`
      insert into typing (account, room_id, users, ord)
      select ${account}, room_id, users, ord from json_to_recordset(${rows}::text::json) r (room_id text, users text, ord bigint)
      on conflict (account, room_id) do update set users = excluded.users, ord = excluded.ord`,
    ),
    // The success that brought a set is as new as the set, though a renewal writes it down later: else a look for typing that
    // nobody confirms (S1) in between would end it at once.
    ...some(writes.typing, () => tx`update leases set polled_at = now() where account = ${account}`),
    ...some(
      writes.receipts,
      (rows) => tx`
      insert into receipts (account, room_id, user_id, kind, thread_id, event_id, data, ord)
      select ${account}, room_id, user_id, kind, thread_id, event_id, data, ord
      from json_to_recordset(${rows}::text::json) r (
        room_id text, user_id text, kind text, thread_id text, event_id text, data text, ord bigint)
      on conflict (account, room_id, user_id, kind, thread_id) do update set event_id = excluded.event_id, data = excluded.data, ord = excluded.ord`,
    ),
    ...some(
      writes.accountData,
      (rows) => tx`
      insert into account_data (account, room_id, type, body, ord)
      select ${account}, room_id, type, body, ord from json_to_recordset(${rows}::text::json) r (room_id text, type text, body text, ord bigint)
      on conflict (account, room_id, type) do update set body = excluded.body, ord = excluded.ord`,
    ),
    ...some(
      writes.presence,
      (rows) => tx`
      insert into presence (account, user_id, body, ord)
      select ${account}, user_id, body, ord from json_to_recordset(${rows}::text::json) r (user_id text, body text, ord bigint)
      on conflict (account, user_id) do update set body = excluded.body, ord = excluded.ord`,
    ),
    ...some(
      writes.invites,
      (rows) => tx`
      insert into invites (account, room_id, kind, body, inviter, gone, ord)
      select ${account}, room_id, kind, body, inviter, false, ord
      from json_to_recordset(${rows}::text::json) r (room_id text, kind text, body text, inviter text, ord bigint)
      on conflict (account, room_id) do update set kind = excluded.kind, body = excluded.body, inviter = excluded.inviter, gone = false,
        ord = excluded.ord`,
    ),
    ...some(
      writes.inviteEnds,
      (rows) => tx`
      update invites i set gone = true, ord = r.ord
      from json_to_recordset(${rows}::text::json) r (room_id text, ord bigint) where i.account = ${account} and i.room_id = r.room_id`,
    ),
  ];
}
