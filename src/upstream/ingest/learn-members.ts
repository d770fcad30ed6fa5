/** Stores a room's full member list, from the homeserver's /members. */

import type { Tx } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { readBodiesOf, writeOwnBodies } from "../../store/ingest/bodies.ts";
import type { KnownRoomRow } from "../../store/ingest/known.ts";
import type { OpenMember } from "../../store/ingest/member-list.ts";
import { readOpenMembers, readRoom, writePosition } from "../../store/ingest/member-list.ts";
import type { RedactionWrite, RoomWrite } from "../../store/ingest/row-types.ts";
import { writeEvents, writeRedactions } from "../../store/ingest/write-events.ts";
import { writeMembers, writeRoomRows } from "../../store/ingest/write.ts";
import type { CutEvent } from "../../wire/event.ts";
import { cutEvent } from "../../wire/event.ts";
import type { AccountNo, Position, RoomId, UserId } from "../../wire/ids.ts";
import { Draft } from "./draft.ts";
import { computeFacts, noChange, standInsAmong } from "./facts.ts";
import type { IngestDeps } from "./ingest.ts";
import { planOwnBodies, settleEvents } from "./own-bodies.ts";
import { roomsWithEnds } from "./plan-standings.ts";
import { RoomState } from "./room-state.ts";

export type LearnInput = {
  readonly account: AccountNo;
  readonly roomId: RoomId;
  /** The account's position when /members was requested: what came since is newer than the answer. */
  readonly at: Position;
  /** The answer's `chunk`. */
  readonly memberEventTexts: readonly string[];
  /** When the answer arrived, ms. */
  readonly now: number;
};

/** `position`: the account's present one. `changed`: how many members were unknown or different. */
export type LearnResult = { readonly position: Position; readonly changed: number };

/**
 * The list is complete afterwards, unless it became uncertain (a gap, a new join) after it was requested: then request it again. Each change
 * has an ordinal of its own; the rows of members who are no longer in the room end at a common one.
 */
export async function learnMembers(deps: IngestDeps, input: LearnInput): Promise<LearnResult> {
  const events = new Map<string, CutEvent>();
  for (const text of input.memberEventTexts) {
    const event = cutEvent(text, input.now);
    if (event.kind === "event" && event.type === "m.room.member" && event.state_key !== null) events.set(event.state_key, event);
  }
  return await writeTx(deps.sql, (tx) => learn(tx, input, [...events.values()]));
}

async function learn(tx: Tx, input: LearnInput, received: readonly CutEvent[]): Promise<LearnResult> {
  const [account, room, stored, bodies] = await Promise.all([
    lockAccount(tx, input.account),
    readRoom(tx, input.account, input.roomId),
    readOpenMembers(tx, input.account, input.roomId),
    readBodiesOf(tx, input.account, received),
  ]);
  if (!account || !room) return { position: (account?.position ?? input.at) as Position, changed: 0 };
  const { events: settled, own, redactions } = settleEvents(received, input.roomId, bodies);
  const draft = new Draft(account.position);
  const newer = new Set(stored.filter((member) => member.from_ord > input.at).map((member) => member.user_id));
  const listed = settled.map((event) => [event.state_key as UserId, event] as const);
  const events = new Map(listed.filter(([user]) => !newer.has(user)));
  const gone = planList(draft, room, { stored, newer, events });
  if (room.unsure_ord <= input.at) draft.putRoom(room, { ...pick(room), members: "complete" });
  planFacts(draft, account.user_id, room, { stored, gone, events });
  planOwnBodies(draft, own);
  await writeLearned(tx, input.account, input.roomId, draft, redactions);
  return { position: draft.last as Position, changed: draft.members.length + gone.size };
}

/** Writes what was learned of a room as a batch of its own. `redactions`: see settleEvents. */
export async function writeLearned(tx: Tx, account: AccountNo, roomId: RoomId, draft: Draft, redactions: readonly RedactionWrite[]): Promise<void> {
  await Promise.all([
    ...writeEvents(tx, [...draft.events.values()]),
    ...writeMembers(tx, [{ account, writes: draft }]),
    ...writeRedactions(tx, [{ account, writes: { redactions } }]),
    ...writeOwnBodies(tx, [{ account, writes: draft }]),
    ...writeRoomRows(tx, [{ account, writes: draft }]),
    writePosition(tx, account, roomId, { position: draft.last, ended: roomsWithEnds(draft).has(roomId) }),
  ]);
}

/** What is compared: the stored members, those of them that are newer than the list, and the list without those. */
type Compared = {
  readonly stored: readonly OpenMember[];
  readonly newer: ReadonlySet<UserId>;
  readonly events: ReadonlyMap<UserId, CutEvent>;
};

/** Plans the rows; returns the members who are not in the list. */
function planList(draft: Draft, room: KnownRoomRow, { stored, newer, events }: Compared): ReadonlySet<UserId> {
  const known = stored.map((member) => ({ ...member, room_id: room.room_id, body: "{}" }));
  const state = new RoomState(draft, room.room_id, [], known);
  for (const event of events.values()) {
    if (state.isNew(event)) state.apply(event, draft.next("members", room.room_id), room.members === "none");
  }
  const gone = stored.map((member) => member.user_id).filter((user) => !events.has(user) && !newer.has(user));
  if (gone.length > 0) {
    const to_ord = draft.next("members", room.room_id);
    for (const user_id of gone) draft.memberEnds.push({ room_id: room.room_id, user_id, to_ord });
  }
  return new Set(gone);
}

/** Names the room by members that were unknown before (T14), and counts those of a room whose counts the homeserver does not send. */
function planFacts(
  draft: Draft,
  me: UserId,
  room: KnownRoomRow,
  { stored, gone, events }: Pick<Compared, "stored" | "events"> & { readonly gone: ReadonlySet<UserId> },
): void {
  if (room.facts === null || room.membership === null) return;
  const members = new Map<UserId, string>();
  for (const member of stored) if (!gone.has(member.user_id)) members.set(member.user_id, member.membership);
  for (const row of draft.members) members.set(row.user_id, row.membership);
  const having = (membership: string): number => [...members.values()].filter((each) => each === membership).length;
  const facts = computeFacts(room.facts, {
    ...noChange(me, room.facts),
    ...(room.facts.sources.counted === true && {
      counted: { joined: having("join"), invited: having("invite") },
      standIns: standInsAmong(members, me),
    }),
    member: (user) => events.get(user)?.content,
  });
  draft.putFacts(room, room.membership, facts);
}

function pick({ room_id, last_ord, last_ts, members, unsure_ord, pending_gap }: KnownRoomRow): RoomWrite {
  return { room_id, last_ord, last_ts, members, unsure_ord, pending_gap };
}
