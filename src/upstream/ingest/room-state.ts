/** A room's present state while a batch is applied to it: what is stored, with the batch's changes on top. */

import { firstCharacters } from "../../base/first-characters.ts";
import { memberSortName } from "../../base/case-fold.ts";
import type { KnownMember, KnownState } from "../../store/ingest/known.ts";
import type { MemberWrite, StateWrite, TimelineWrite } from "../../store/ingest/row-types.ts";
import type { CutEvent } from "../../wire/event.ts";
import { isObject } from "../../wire/identifier.ts";
import type { EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { Draft, Mutable } from "./draft.ts";

type HasUnsigned = Mutable<Pick<TimelineWrite | StateWrite | MemberWrite, "unsigned">>;
type StateNow = { event_id: EventId; row: Mutable<StateWrite> | null };
/** `event_id` null: that row has ended. */
type MemberNow = { event_id: EventId | null; membership: string; row: Mutable<MemberWrite> | null };

const MEMBER = "m.room.member";

export class RoomState {
  readonly #draft: Draft;
  readonly #room: RoomId;
  readonly #state = new Map<string, StateNow>();
  readonly #members = new Map<UserId, MemberNow>();
  /** Contents from the batch (or a redaction): of state with an empty key by type, of members by user. */
  readonly contents = new Map<string, { event_id: EventId; content: CutEvent["content"] }>();
  readonly memberContents = new Map<UserId, { event_id: EventId; membership: string; content: CutEvent["content"] }>();
  /** The batch's rows of each of its events, for redactions to be recorded in. */
  readonly rowsOf = new Map<EventId, HasUnsigned[]>();
  /** By how much the batch changes the number of members known to be joined and invited. */
  joinedBy = 0;
  invitedBy = 0;
  membersChanged = false;

  constructor(draft: Draft, room: RoomId, state: readonly KnownState[], members: readonly KnownMember[]) {
    this.#draft = draft;
    this.#room = room;
    for (const row of state) this.#state.set(stateKey(row.type, row.state_key), { event_id: row.event_id, row: null });
    for (const row of members) this.#members.set(row.user_id, { event_id: row.event_id, membership: row.membership, row: null });
  }

  /** Whether a state event differs from the present one of its key. */
  isNew(event: CutEvent): boolean {
    return this.#present(event) !== event.event_id;
  }

  /** Whether no state of an event's key is known. */
  isUnknown(event: CutEvent): boolean {
    return (this.#present(event) ?? null) === null;
  }

  /** Applies a state event at an ordinal; does nothing if it is the present one already. `learned`: see members.learned. */
  apply(event: CutEvent, ord: number, learned: boolean): void {
    this.remember(event);
    if (event.state_key === null || !this.isNew(event)) return;
    this.putEvent(event);
    if (event.type === MEMBER) this.#applyMember(event, event.state_key as UserId, ord, learned);
    else this.#applyState(event, event.state_key, ord);
  }

  /** Records the content of a state event, for the room's facts, whether or not it is new. */
  remember(event: CutEvent): void {
    if (event.state_key === null) return;
    const { event_id, content } = event;
    if (event.type === MEMBER) this.memberContents.set(event.state_key as UserId, { event_id, membership: membershipOf(content), content });
    else if (event.state_key === "") this.contents.set(event.type, { event_id, content });
  }

  /**
   * Ends stored state and members that are not in the room's full state, which begins at `ord` and is given as `effective` by key, or by the
   * events' ids alone.
   */
  endAllBut(effective: ReadonlyMap<string, CutEvent>, ids: ReadonlyMap<string, EventId>, ord: number): void {
    const isKept = (key: string, id: EventId | null) => effective.has(key) || (id !== null && ids.get(key) === id);
    for (const [key, now] of this.#state) if (now.row === null && !isKept(key, now.event_id)) this.#endState(key, ord);
    const kept = [...this.#members].filter(([user, { event_id }]) => isKept(stateKey(MEMBER, user), event_id)).map(([user]) => user);
    const users = [...effective.values()].filter((event) => event.type === MEMBER).map((event) => event.state_key as UserId);
    const keep = new Set([...users, ...kept]);
    // Only the batch's members are loaded here, of all that are stored.
    this.#draft.membersEnds.push({ room_id: this.#room, to_ord: ord, before: this.#draft.start, keep: [...keep] });
    for (const [user, now] of this.#members) if (!keep.has(user)) this.#members.set(user, { ...now, event_id: null });
  }

  /** Ends the stored rows of those keys whose event is another one. */
  endOthers(ids: ReadonlyMap<string, EventId>, ord: () => number): void {
    for (const [key, id] of ids) {
      const [type, user] = JSON.parse(key) as [string, UserId];
      const now = type === MEMBER ? this.#members.get(user) : this.#state.get(key);
      if (!now?.event_id || now.event_id === id) continue;
      if ("membership" in now) this.#endMember(user, now, ord());
      else this.#endState(key, ord());
    }
  }

  #endState(key: string, ord: number): void {
    const [type = "", state_key = ""] = JSON.parse(key) as string[];
    this.#draft.stateEnds.push({ room_id: this.#room, type, state_key, to_ord: ord });
    this.#state.delete(key);
  }

  #endMember(user_id: UserId, now: MemberNow, ord: number): void {
    this.#draft.memberEnds.push({ room_id: this.#room, user_id, to_ord: ord });
    this.#members.set(user_id, { ...now, event_id: null });
  }

  /** The event's row of `events`, if the batch has none yet. */
  putEvent(event: CutEvent): void {
    if (this.#draft.events.has(event.event_id)) return;
    this.#draft.events.set(event.event_id, {
      event_id: event.event_id,
      type: event.type,
      state_key: event.state_key,
      sender: event.sender,
      ts: event.ts,
      relation: event.relation,
      body: event.body,
      pruned: event.redacted_because,
      shared: event.shared,
    });
  }

  noteRow(id: EventId, row: HasUnsigned): void {
    const rows = this.rowsOf.get(id);
    if (rows) rows.push(row);
    else this.rowsOf.set(id, [row]);
  }

  membershipOf(user: UserId): string | null {
    return this.#members.get(user)?.membership ?? null;
  }

  #present(event: { readonly type: string; readonly state_key: string | null }): EventId | null | undefined {
    if (event.state_key === null) return undefined;
    if (event.type === MEMBER) return this.#members.get(event.state_key as UserId)?.event_id;
    return this.#state.get(stateKey(event.type, event.state_key))?.event_id;
  }

  #applyState(event: CutEvent, state_key: string, ord: number): void {
    const key = stateKey(event.type, state_key);
    const now = this.#state.get(key);
    if (now?.row) now.row.to_ord = ord;
    else if (now) this.#draft.stateEnds.push({ room_id: this.#room, type: event.type, state_key, to_ord: ord });
    const row: Mutable<StateWrite> = {
      room_id: this.#room,
      type: event.type,
      state_key,
      from_ord: ord,
      to_ord: null,
      event_id: event.event_id,
      unsigned: event.unsigned,
      age_ts: event.age_ts,
    };
    this.#draft.state.push(row);
    this.noteRow(event.event_id, row);
    this.#state.set(key, { event_id: event.event_id, row });
  }

  #applyMember(event: CutEvent, user_id: UserId, ord: number, learned: boolean): void {
    const now = this.#members.get(user_id);
    const membership = membershipOf(event.content);
    if (now?.row) now.row.to_ord = ord;
    else if (now && now.event_id !== null) this.#draft.memberEnds.push({ room_id: this.#room, user_id, to_ord: ord });
    const row: Mutable<MemberWrite> = {
      room_id: this.#room,
      user_id,
      from_ord: ord,
      to_ord: null,
      event_id: event.event_id,
      membership,
      was: now?.membership ?? null,
      sort_name: sortName(user_id, event.content["displayname"]),
      learned,
      unsigned: event.unsigned,
      age_ts: event.age_ts,
    };
    this.#draft.members.push(row);
    this.noteRow(event.event_id, row);
    this.joinedBy += count(membership, "join") - count(now?.membership, "join");
    this.invitedBy += count(membership, "invite") - count(now?.membership, "invite");
    this.membersChanged = true;
    this.#members.set(user_id, { event_id: event.event_id, membership, row });
  }
}

/** Characters of a sort name that are stored: at most 2000 bytes, so that they fit in an index row. sql/0008 and sql/0009 cut in the same way. */
const MAX_SORT_NAME = 500;

/**
 * S3's sort name in the form in which it is stored and compared: its first 500 characters. Members whose names agree in those are ordered by
 * user id.
 */
export function sortName(user: UserId, displayname: unknown): string {
  return firstCharacters(memberSortName(user, displayname), MAX_SORT_NAME);
}

/** content.membership; a value that is not a text, or cannot be stored, counts as "leave". */
export function membershipOf(content: unknown): string {
  const membership = isObject(content) ? content["membership"] : undefined;
  return typeof membership === "string" && /^[\w.]{1,64}$/.test(membership) ? membership : "leave";
}

/** One text for a pair (type, state key). */
export function stateKey(type: string, key: string): string {
  return JSON.stringify([type, key]);
}

function count(membership: string | undefined, wanted: string): number {
  return membership === wanted ? 1 : 0;
}
