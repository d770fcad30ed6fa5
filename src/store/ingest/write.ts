/** Writes planned batches, of one account or of several: one statement per table, all sent at once. The caller must hold the accounts' locks. */

import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { DeviceWrites, RoomWrites } from "./row-types.ts";
import { OPEN } from "./row-types.ts";
import { writeOwnBodies } from "./bodies.ts";
import { writeFeed } from "./feed.ts";
import { writeProfiles } from "./profiles.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";
import { writeEvents, writeRedactions } from "./write-events.ts";
import { writeIgnoring } from "./write-ignoring.ts";
import { writeStickyEvents } from "./write-sticky-events.ts";

/** What is written for an account: those parts of a batch that exist. */
export type AccountWrites<Part extends keyof RoomWrites> = { readonly account: AccountNo; readonly writes: Pick<RoomWrites, Part> };
/**
 * A full batch, and the device whose poll brought it. `since`: with it the account has received everything once (D23); null: these are
 * single rooms, before that.
 * `presence`: its poll asked for presence, too.
 */
export type Batch = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly since: string | null;
  readonly presence?: boolean | undefined;
  readonly writes: RoomWrites;
};

/** The accounts' parts, `since` included. */
export function writeRooms(tx: Tx, batches: readonly Batch[]): Statement[] {
  return [
    ...writeEvents(
      tx,
      batches.flatMap(({ writes }) => writes.events),
    ),
    ...writeTimeline(tx, batches),
    ...writeFeed(tx, batches),
    ...writeState(tx, batches),
    ...writeMembers(tx, batches),
    ...writeRoomRows(tx, batches),
    ...writeStandings(tx, batches),
    ...writeParts(tx, batches),
    ...writeProfiles(tx, batches),
    ...writeStickyEvents(tx, batches),
    ...writeRedactions(tx, batches),
    ...writeBans(tx, batches),
    ...writeOwnBodies(tx, batches),
    ...writeIgnoring(tx, batches),
    ...writeAccounts(tx, batches),
  ];
}

/** Homeservers note what a ban redacts only after they have stored the ban itself. */
const BAN_REST = "3 seconds";

/** Has the homeserver asked whether the bans redact: see rereads.ts. */
function writeBans(tx: Tx, batches: readonly AccountWrites<"bans">[]): Statement[] {
  return some(
    rowsOf(batches, "bans"),
    (rows) => tx`
    insert into rereads (account, kind, name, cause, due_at)
    select account, 'ban', event_id, 'ban', now() + ${BAN_REST}::interval from json_to_recordset(${rows}::text::json) r (account bigint, event_id text)
    on conflict do nothing`,
  );
}

/** The devices' parts, `since` included. */
export function writeDevices(tx: Tx, batches: readonly { readonly device: DeviceNo; readonly writes: DeviceWrites }[]): Statement[] {
  const ofDevices = <Part extends "toDevice" | "passed" | "deviceLists">(part: Part) =>
    batches.flatMap(({ device, writes }) => writes[part].map((row: DeviceWrites[Part][number]) => ({ device, ...row })));
  return [
    ...some(
      ofDevices("toDevice"),
      (rows) => tx`
      insert into to_device (device, seq, before_pos, body, bytes, hash)
      select device, seq, before_pos, body, decode(bytes, 'base64'), decode(hash, 'hex')
      from json_to_recordset(${rows}::text::json) r (device bigint, seq bigint, before_pos bigint, body text, bytes text, hash text)`,
    ),
    ...some(
      ofDevices("passed"),
      (rows) => tx`
      update to_device_passed p set times = greatest(0, p.times - r.times)
      from json_to_recordset(${rows}::text::json) r (device bigint, hash text, times integer)
      where p.device = r.device and p.hash = decode(r.hash, 'hex')`,
    ),
    ...some(
      ofDevices("deviceLists"),
      (rows) => tx`
      insert into device_lists (device, user_id, kind, seq, shared_at)
      select device, user_id, kind, seq, case when shared then now() end
      from json_to_recordset(${rows}::text::json) r (device bigint, user_id text, kind text, seq bigint, shared boolean)
      on conflict (device, user_id) do update set kind = excluded.kind, seq = excluded.seq, shared_at = excluded.shared_at`,
    ),
    tx`
      update devices d
      set since = r.since, restored = d.restored and r.since is null, seq = r.seq, one_time_keys = r.one_time_keys, fallback_keys = r.fallback_keys, counts_seq = r.counts_seq
      from unnest(${batches.map((batch) => batch.device)}::bigint[], ${batches.map(({ writes }) => writes.since)}::text[],
        ${batches.map(({ writes }) => writes.seq)}::bigint[], ${batches.map(({ writes }) => writes.one_time_keys)}::text[],
        ${batches.map(({ writes }) => writes.fallback_keys)}::text[], ${batches.map(({ writes }) => writes.counts_seq)}::bigint[]
      ) as r(device, since, seq, one_time_keys, fallback_keys, counts_seq)
      where d.device = r.device`,
  ];
}

/** In how many rooms the user is, while only single ones are stored. */
export function writeJoinedRooms(tx: Tx, account: AccountNo, joined: number): Statement {
  return tx`update accounts set joined_rooms = ${joined} where account = ${account}`;
}

function writeAccounts(tx: Tx, batches: readonly Batch[]): Statement[] {
  const ending = batches.filter(({ writes }) => writes.endSessions).map(({ account }) => account);
  return [
    tx`
      update accounts a set since = r.since, position = r.position, ignored = coalesce(r.ignored, a.ignored),
        presence_since = coalesce(r.presence_since, a.presence_since),
        (complete, joined_rooms) = (
          select is_complete, case when is_complete then null else a.joined_rooms end
          from (select a.complete or r.since is not null and not exists (
            select from rereads x where x.account = a.account and x.cause = 'too_large')) as c(is_complete))
      from unnest(${batches.map((batch) => batch.account)}::bigint[], ${batches.map((batch) => batch.since)}::text[],
        ${batches.map(({ writes }) => writes.position)}::bigint[], ${batches.map(({ writes }) => writes.ignored)}::text[],
        ${batches.map(({ since, presence }) => (presence ? since : null))}::text[]
      ) as r(account, since, position, ignored, presence_since)
      where a.account = r.account`,
    ...(ending.length === 0 ? [] : [tx`delete from sessions where account = any(${ending}::bigint[]) and kind in ('v3', 'connection')`]),
  ];
}

/** The rows of one kind from all batches, each with its account. */
function rowsOf<Part extends ListsOf<RoomWrites>>(
  batches: readonly AccountWrites<Part>[],
  part: Part,
): ({ readonly account: AccountNo } & RoomWrites[Part][number])[] {
  return batches.flatMap(({ account, writes }) => writes[part].map((row: RoomWrites[Part][number]) => ({ account, ...row })));
}

type ListsOf<T> = { [K in keyof T]: T[K] extends readonly object[] ? K : never }[keyof T];

/** Also for messages that were withheld: see store-withheld.ts. */
export function writeTimeline(tx: Tx, batches: readonly (AccountWrites<"timeline" | "position"> & Pick<Batch, "device">)[]): Statement[] {
  const sent = batches.flatMap(({ account, device, writes }) =>
    writes.timeline.map((row) => ({
      account,
      ...row,
      relations_ord: row.relations === null ? null : writes.position,
      txn_device: row.txn_id === null ? null : device,
    })),
  );
  return some(
    sent,
    (rows) => tx`
    insert into timeline (account, ord, room_id, event_id, unsigned, relations, relations_ord, age_ts, txn_id, txn_device, sticky_until, gap, prev_batch, notify)
    select account, ord, room_id, event_id, unsigned, relations, relations_ord, age_ts, txn_id, txn_device, sticky_until, gap, prev_batch, notify
    from json_to_recordset(${rows}::text::json) r (account bigint, ord bigint, room_id text, event_id text, unsigned text, relations text,
      relations_ord bigint, age_ts bigint, txn_id text, txn_device bigint, sticky_until bigint, gap boolean, prev_batch text, notify boolean)`,
  );
}

function writeState(tx: Tx, batches: readonly Batch[]): Statement[] {
  return [
    ...some(
      rowsOf(batches, "stateEnds"),
      (rows) => tx`
      update state s set to_ord = r.to_ord
      from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, type text, state_key text, to_ord bigint)
      where s.account = r.account and s.room_id = r.room_id and s.type = r.type and s.state_key = r.state_key and s.to_ord = ${OPEN}::bigint`,
    ),
    ...some(
      rowsOf(batches, "state"),
      (rows) => tx`
      insert into state (account, room_id, type, state_key, from_ord, to_ord, event_id, unsigned, age_ts)
      select account, room_id, type, state_key, from_ord, coalesce(to_ord, ${OPEN}::bigint), event_id, unsigned, age_ts
      from json_to_recordset(${rows}::text::json) r (
        account bigint, room_id text, type text, state_key text, from_ord bigint, to_ord bigint, event_id text, unsigned text, age_ts bigint)`,
    ),
  ];
}

/** Also for a fetched member list: see learn-members.ts. */
export function writeMembers(tx: Tx, batches: readonly AccountWrites<"members" | "memberEnds" | "membersEnds">[]): Statement[] {
  return [
    ...some(
      rowsOf(batches, "memberEnds"),
      (rows) => tx`
      update members m set to_ord = r.to_ord
      from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, user_id text, to_ord bigint)
      where m.account = r.account and m.room_id = r.room_id and m.user_id = r.user_id and m.to_ord = ${OPEN}::bigint`,
    ),
    ...some(
      rowsOf(batches, "membersEnds"),
      (rows) => tx`
      update members m set to_ord = r.to_ord
      from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, to_ord bigint, before bigint, keep json)
      where m.account = r.account and m.room_id = r.room_id and m.to_ord = ${OPEN}::bigint and m.from_ord <= r.before
        and not exists (select from json_array_elements_text(r.keep) k (user_id) where k.user_id = m.user_id)`,
    ),
    ...some(
      rowsOf(batches, "members"),
      (rows) => tx`
      insert into members (account, room_id, user_id, from_ord, to_ord, event_id, membership, was, sort_name, learned, unsigned, age_ts)
      select account, room_id, user_id, from_ord, coalesce(to_ord, ${OPEN}::bigint), event_id, membership, was, sort_name, learned, unsigned, age_ts
      from json_to_recordset(${rows}::text::json) r (
        account bigint, room_id text, user_id text, from_ord bigint, to_ord bigint, event_id text, membership text, was text, sort_name text, learned boolean,
        unsigned text, age_ts bigint)`,
    ),
  ];
}

/** Also for a fetched member list. */
export function writeRoomRows(tx: Tx, batches: readonly AccountWrites<"rooms" | "facts">[]): Statement[] {
  return [
    ...some(
      rowsOf(batches, "rooms"),
      (rows) => tx`
      insert into rooms (account, room_id, last_ord, last_ts, members, unsure_ord, pending_gap)
      select account, room_id, last_ord, last_ts, members, unsure_ord, pending_gap
      from json_to_recordset(${rows}::text::json) r (
        account bigint, room_id text, last_ord bigint, last_ts bigint, members text, unsure_ord bigint, pending_gap boolean)
      on conflict (account, room_id) do update set last_ord = excluded.last_ord, last_ts = excluded.last_ts, members = excluded.members,
        unsure_ord = excluded.unsure_ord, pending_gap = excluded.pending_gap`,
    ),
    ...some(
      rowsOf(batches, "facts"),
      (rows) => tx`
      with r as (select * from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, from_ord bigint, membership text, facts text)),
      ended as (
        update room_facts f set to_ord = r.from_ord from r
        where f.account = r.account and f.room_id = r.room_id and f.to_ord = ${OPEN}::bigint)
      insert into room_facts (account, room_id, from_ord, membership, facts) select account, room_id, from_ord, membership, facts from r`,
    ),
  ];
}

function writeStandings(tx: Tx, batches: readonly Batch[]): Statement[] {
  return some(
    rowsOf(batches, "standings"),
    (rows) => tx`
    insert into standings (account, room_id, changed_ord, membership_ord, active_ord, bump_ord, kicked, ever_joined, inviter, ended_ord)
    select account, room_id, changed_ord, membership_ord, active_ord, bump_ord, kicked, ever_joined, inviter, ended_ord
    from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, changed_ord bigint, membership_ord bigint, active_ord bigint, bump_ord bigint,
      kicked boolean, ever_joined boolean, inviter text, ended_ord bigint)
    on conflict (account, room_id) do update set changed_ord = excluded.changed_ord, membership_ord = excluded.membership_ord,
      active_ord = excluded.active_ord, bump_ord = excluded.bump_ord, kicked = excluded.kicked, ever_joined = excluded.ever_joined,
      inviter = excluded.inviter, ended_ord = excluded.ended_ord`,
  );
}

function writeParts(tx: Tx, batches: readonly Batch[]): Statement[] {
  return [
    ...some(
      rowsOf(batches, "typing"),
      (rows) => tx`
      insert into typing (account, room_id, users, ord, told_at)
      select account, room_id, users, ord, now() from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, users text, ord bigint)
      on conflict (account, room_id) do update set users = excluded.users, ord = excluded.ord, told_at = now()`,
    ),
    ...some(
      rowsOf(batches, "receipts"),
      (rows) => tx`
      insert into receipts (account, room_id, user_id, kind, thread_id, event_id, data, ord)
      select account, room_id, user_id, kind, thread_id, event_id, data, ord
      from json_to_recordset(${rows}::text::json) r (
        account bigint, room_id text, user_id text, kind text, thread_id text, event_id text, data text, ord bigint)
      on conflict (account, room_id, user_id, kind, thread_id) do update set event_id = excluded.event_id, data = excluded.data, ord = excluded.ord`,
    ),
    ...some(
      rowsOf(batches, "accountData"),
      (rows) => tx`
      insert into account_data (account, room_id, type, body, ord)
      select account, room_id, type, body, ord from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, type text, body text, ord bigint)
      on conflict (account, room_id, type) do update set body = excluded.body, ord = excluded.ord`,
    ),
    ...some(
      rowsOf(batches, "presence"),
      (rows) => tx`
      insert into presence (account, user_id, body, ord, at)
      select account, user_id, body, ord, at from json_to_recordset(${rows}::text::json) r (account bigint, user_id text, body text, ord bigint, at bigint)
      on conflict (account, user_id) do update set body = excluded.body, ord = excluded.ord, at = excluded.at`,
    ),
    ...some(
      rowsOf(batches, "invites"),
      (rows) => tx`
      insert into invites (account, room_id, kind, body, inviter, gone, ord)
      select account, room_id, kind, body, inviter, false, ord
      from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, kind text, body text, inviter text, ord bigint)
      on conflict (account, room_id) do update set kind = excluded.kind, body = excluded.body, inviter = excluded.inviter, gone = false,
        ord = excluded.ord`,
    ),
    ...some(
      rowsOf(batches, "inviteEnds"),
      (rows) => tx`
      update invites i set gone = true, ord = r.ord
      from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, ord bigint) where i.account = r.account and i.room_id = r.room_id`,
    ),
  ];
}
