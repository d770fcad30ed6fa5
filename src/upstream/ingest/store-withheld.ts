/** Stores what the homeserver had withheld of users who are no longer ignored (T2): their messages, in their places. */

import { type Sql, type Tx, writeTx } from "../../store/db.ts";
import { presentState, readBodiesOf, writeOwnBodies } from "../../store/ingest/bodies.ts";
import { heldLeases, lockAccount } from "../../store/ingest/device.ts";
import { readMembers } from "../../store/ingest/known.ts";
import type { RedactionWrite, TimelineWrite } from "../../store/ingest/row-types.ts";
import {
  endWithheld,
  type GapWrite,
  leaveGaps,
  moveRows,
  type NewestRow,
  readPlaces,
  type RowMove,
  type TimelinePlace,
  writeGaps,
  writeWoven,
} from "../../store/ingest/withheld.ts";
import { writeEvents, writeRedactions } from "../../store/ingest/write-events.ts";
import { writeStickyEvents } from "../../store/ingest/write-sticky-events.ts";
import { writeMembers, writeTimeline } from "../../store/ingest/write.ts";
import { endSessionsButFeeds } from "../../store/sessions.ts";
import { endUnignored, stillUnignored } from "../../store/unignored.ts";
import type { CutEvent } from "../../wire/event.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../../wire/ids.ts";
import { Draft, type Mutable } from "./draft.ts";
import { settleEvents } from "./own-bodies.ts";
import { BUMPING } from "./plan-standings.ts";
import { noteSticky } from "./plan-sticky.ts";
import { RoomState } from "./room-state.ts";
import { eventRow } from "./store-older.ts";
import { weave, type Woven } from "./weave.ts";

/** The newest events of a room, as the homeserver has them now. */
export type RoomPage = {
  readonly roomId: RoomId;
  /** Oldest first. */
  readonly events: readonly CutEvent[];
  /** The token right before them; null: there is nothing older. */
  readonly end: string | null;
  /** The account's position that the page is of. */
  readonly position: number;
  /** Member events of senders whose membership was unknown. */
  readonly members: readonly CutEvent[];
};

export type WithheldInput = {
  readonly account: AccountNo;
  /** The device whose token was used. */
  readonly device: DeviceNo;
  /** Of the account's lease. */
  readonly epoch: number;
  /** ms. */
  readonly now: number;
  readonly pages: readonly RoomPage[];
  /**
   * Ends the account's sessions (R11), unless the users have all been ignored again. `unread`: rooms that could not be read; they get a gap,
   * and are read `retryMs` from now. Absent: the rooms of the pages had such a gap, and sessions go on.
   */
  readonly restart?: { readonly users: readonly UserId[]; readonly unread: readonly RoomId[]; readonly retryMs: number };
};

/** "stale": the lease is lost, or the account is not synced. "ignored": all of the users are ignored again, and nothing was stored. */
export async function storeWithheld(sql: Sql, input: WithheldInput): Promise<"stored" | "stale" | "ignored"> {
  return await writeTx(sql, (tx) => store(tx, input));
}

async function store(tx: Tx, { account: no, device, epoch, now, pages, restart }: WithheldInput): Promise<"stored" | "stale" | "ignored"> {
  const [account, held] = await Promise.all([lockAccount(tx, no), heldLeases(tx, [{ account: no, epoch }])]);
  if (!account || account.since === null || !held.has(no)) return "stale";
  const users = restart ? await stillUnignored(tx, no, restart.users) : [];
  if (restart && users.length === 0) return "ignored";
  const draft = new Draft(account.position);
  const woven = new WovenRooms(tx, { account: no, now, draft, isLive: restart === undefined });
  for (const page of pages) {
    // oxlint-disable-next-line no-await-in-loop -- rooms take their ordinals one after the other
    await woven.add(page);
  }
  const unread = restart?.unread ?? [];
  const read = pages.map(({ roomId }) => roomId);
  const { moves, gaps, newest, redactions } = woven;
  // The position moves in any case: what is cached of these rooms is read again.
  const position = draft.last + 1;
  // What the homeserver bundled is right up to there (T7).
  const asOf = Math.min(account.position, ...pages.map((page) => page.position));
  await Promise.all([
    ...writeEvents(tx, [...draft.events.values()]),
    ...moveRows(tx, no, moves),
    ...writeTimeline(tx, [{ account: no, device, writes: { timeline: draft.timeline, position: asOf } }]),
    ...writeStickyEvents(tx, [{ account: no, writes: { stickyEvents: [...draft.stickyEvents.values()], stickyEnds: [] } }]),
    ...writeGaps(tx, no, gaps),
    ...writeMembers(tx, [{ account: no, writes: draft }]),
    ...writeRedactions(tx, [{ account: no, writes: { redactions } }]),
    ...writeOwnBodies(tx, [{ account: no, writes: draft }]),
    ...(restart ? leaveGaps(tx, no, unread, account.since, restart.retryMs) : []),
    ...writeWoven(tx, no, [...read, ...unread], newest, position),
    endWithheld(tx, no, read),
    ...(restart ? [endUnignored(tx, no, users), endSessionsButFeeds(tx, no)] : []),
  ]);
  return "stored";
}

type WovenDeps = {
  readonly account: AccountNo;
  readonly now: number;
  /** Gets new rows. */
  readonly draft: Draft;
  /** Sessions see the change: the rooms come after a gap, so that clients show nothing twice. */
  readonly isLive: boolean;
};

/** Plans the rooms' rows. */
class WovenRooms {
  readonly moves: RowMove[] = [];
  readonly gaps: GapWrite[] = [];
  readonly newest: NewestRow[] = [];
  readonly redactions: RedactionWrite[] = [];
  readonly #tx: Tx;
  readonly #deps: WovenDeps;

  constructor(tx: Tx, deps: WovenDeps) {
    this.#tx = tx;
    this.#deps = deps;
  }

  async add(page: RoomPage): Promise<void> {
    const { account, draft } = this.#deps;
    const { roomId, position } = page;
    const [rows, bodies] = await Promise.all([
      readPlaces(this.#tx, account, roomId, { events: page.events.map((event) => event.event_id), position }),
      readBodiesOf(this.#tx, account, [...page.events, ...page.members]),
    ]);
    const present = await presentState(this.#tx, account, roomId, bodies);
    const settled = settleEvents([...page.events, ...page.members], roomId, bodies, present);
    const events = settled.events.slice(0, page.events.length);
    // The bodies may be pruned already, through other accounts: these rows do not say so.
    const redacted = [...page.events, ...page.members].filter((event) => event.redacted_because);
    this.redactions.push(...redacted.map(({ event_id, body, unsigned }) => ({ event_id, body, unsigned, sort_name: null, ord: null })));
    draft.ownBodies.push(...settled.own);
    await this.#addMembers(roomId, settled.events.slice(page.events.length));
    this.#addRows({ ...page, events }, rows);
  }

  #addRows(page: RoomPage, rows: readonly TimelinePlace[]): void {
    const { draft, isLive } = this.#deps;
    const { roomId, events, end } = page;
    const places = weave(rows, events);
    const firstNew = places.findIndex((place) => place.kind === "new");
    const moved = firstNew < 0 ? places.length : isLive ? 0 : firstNew;
    const first = places[0];
    const begins = events[0]?.type === "m.room.create";
    for (const place of places.slice(moved)) {
      const ord = draft.next("timeline", roomId);
      if (place.kind === "new") this.#addNew(roomId, place.event, ord);
      else this.moves.push({ ...place.row, ...readOf(place.event), old: place.row.ord, ord });
    }
    const ordOf = (index: number) => {
      const place = places[index];
      if (place?.kind === "stored" && index < moved) return place.row.ord;
      return draft.last - (places.length - 1 - index);
    };
    if (moved < places.length) {
      const bump = places.findLast((place) => place.event === null || BUMPING.has(place.event.type));
      this.newest.push({ room_id: roomId, ord: draft.last, ts: this.#timeOf(places.at(-1)), bumped: this.#timeOf(bump) });
    }
    // Nothing is missing between events of the page.
    const ofPage = new Set(events.map((event) => event.event_id));
    const gapIds = new Set(rows.filter(({ gap, event_id }) => gap && ofPage.has(event_id)).map((row) => row.event_id));
    for (const [index, place] of places.entries()) {
      if (index > 0 && place.kind === "stored" && gapIds.has(place.row.event_id)) this.gaps.push({ ord: ordOf(index), gap: false, prev_batch: null });
    }
    if (!first) return;
    // What is older than the page may lack messages, and is not shown any more.
    const isCut = first.kind === "new" ? !begins : (rows[0]?.older ?? false);
    if (isCut || (isLive && moved === 0)) {
      const startsPage = (first.kind === "new" ? first.event.event_id : first.row.event_id) === events[0]?.event_id;
      this.gaps.push({ ord: ordOf(0), gap: true, prev_batch: startsPage ? end : null });
    }
  }

  /** Of a new event, at most now, ms. */
  #timeOf(place: Woven<CutEvent> | undefined): number | null {
    return place?.kind === "new" ? Math.min(place.event.ts, this.#deps.now) : null;
  }

  #addNew(roomId: RoomId, event: CutEvent, ord: number): void {
    const { draft } = this.#deps;
    draft.events.set(event.event_id, eventRow(event));
    const { event_id, unsigned, relations, age_ts, txn_id, sticky_until } = event;
    const of = { ord, room_id: roomId, event_id, unsigned, relations, age_ts, txn_id, sticky_until };
    const row: Mutable<TimelineWrite> = { ...of, gap: false, prev_batch: null, notify: false };
    draft.timeline.push(row);
    if (sticky_until !== null) noteSticky(draft, roomId, event, sticky_until);
  }

  async #addMembers(roomId: RoomId, events: readonly CutEvent[]): Promise<void> {
    if (events.length === 0) return;
    const { account, draft } = this.#deps;
    const keys = events.map((event) => ({ account, room_id: roomId, user_id: event.state_key as UserId }));
    const known = await readMembers(this.#tx, keys);
    const state = new RoomState(draft, roomId, [], known);
    for (const event of events) {
      if (!known.some((member) => member.user_id === event.state_key)) state.apply(event, draft.next("members", roomId), true);
    }
  }
}

function readOf(event: CutEvent | null): Pick<RowMove, "isRead" | "unsigned" | "age_ts"> {
  return { isRead: event !== null, unsigned: event?.unsigned ?? null, age_ts: event?.age_ts ?? null };
}
