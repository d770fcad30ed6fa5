/**
 * What an answer needs of all rooms of an account, and of its account data and typing, cached from one evaluation to the next and updated by what
 * changed. The cache is bounded and may be emptied at any time. Each version of a view belongs to one position and never changes.
 */

import { LRUCache } from "lru-cache";
import { type AccountRoom, readAccountRooms } from "../store/account-rooms.ts";
import type { Tx } from "../store/db.ts";
import { type DataRow, type PartChanges, readPartChanges, type TypingRow } from "../store/ephemeral.ts";
import type { ConnectionHead } from "../store/connections.ts";
import type { StoredBatch } from "../store/ingest/row-types.ts";
import { parseFacts } from "../store/room-facts.ts";
import type { StickyRow } from "../store/sticky-events.ts";
import { isSticky } from "../wire/event.ts";
import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import { type Recent, withBatch } from "./recent.ts";

export type AccountView = {
  readonly position: Position;
  readonly byId: ReadonlyMap<RoomId, AccountRoom>;
  /** Newest activity first (MSC4186, "Activity ordering"). */
  readonly sorted: readonly AccountRoom[];
  /** By room ("": global), sorted by type. */
  readonly data: ReadonlyMap<RoomId | "", readonly DataRow[]>;
  readonly typing: ReadonlyMap<RoomId, TypingRow>;
  /** When a receipt of a room last changed; only rooms where that was after `receiptsSince`. */
  readonly receipts: ReadonlyMap<RoomId, number>;
  readonly receiptsSince: number;
  /** When the presence of any user, and any thread subscription, last changed; 0: never. */
  readonly presenceOrd: number;
  readonly threadsOrd: number;
  /** Sticky events, in order. Some may have expired, or been redacted. */
  readonly sticky: readonly StickyRow[];
  /** When a profile last changed; 0: none is stored. */
  readonly profilesOrd: number;
  /** The batches that led here, as far as they are cached. */
  readonly recent: Recent;
};

/** Rooms in which something changed. */
export type ChangedRooms = Readonly<Record<"typing" | "receipts" | "accountData", ReadonlySet<RoomId>>>;

/** What identifies a view: see ConnectionHead. */
export type ViewHead = { readonly position: Position; readonly forgotten: number };

/** `since`: the upstream token of the batch that led here; null: the view was read from the database. */
type Version = AccountView & { readonly forgotten: number; readonly since: string | null };
type Parts = PartChanges & { readonly rooms: readonly AccountRoom[] };

/** Rooms of all accounts together. A room takes about a kilobyte, and a kilobyte of account data counts as a room, and so does a sticky event. */
const MAX_ROOMS = 200_000;
const DATA_PER_ROOM = 1000;
const NONE = new Set<never>();

export class AccountViews {
  readonly #versions = new LRUCache<AccountNo, Version>({ maxSize: MAX_ROOMS, sizeCalculation: sizeOf });

  /** The view for exactly that moment, if it is cached. */
  at(account: AccountNo, { position, forgotten }: ViewHead): AccountView | undefined {
    const known = this.#versions.get(account);
    return known?.position === position && known.forgotten === forgotten ? known : undefined;
  }

  /** Advances the cached view by a batch that has just been stored, at `now` (ms), and begins where the view ends. */
  advance(batch: StoredBatch, now: number): void {
    const known = this.#versions.get(batch.account);
    if (known?.position !== batch.from || known.forgotten !== batch.forgotten) return;
    const parts = partsOf(known, batch, now);
    if (!parts) return;
    this.#versions.set(batch.account, {
      ...merged(known, parts),
      position: batch.writes.position as Position,
      forgotten: batch.forgotten,
      since: batch.since,
      receiptsSince: known.receiptsSince,
      recent: withBatch(known.recent, batch),
    });
  }

  /** The head advanced to the cached view, if in-memory batches alone reached `position`; otherwise null, and the caller reads the database. */
  ahead(account: AccountNo, head: ConnectionHead, position: number): ConnectionHead | null {
    const known = this.#versions.get(account);
    if (!known || known.since === null || known.position < Math.max(head.position, position)) return null;
    return { ...head, position: known.position, forgotten: known.forgotten, upstreamSince: known.since };
  }

  /**
   * The view of the moment that `tx` sees. Changes are queried together with `head`, which says which moment that is. null: there is no such
   * account.
   * @param from the view knows the rooms whose receipts changed after it; 0: receipts are not needed
   */
  async read(tx: Tx, account: AccountNo, head: Promise<ViewHead | null>, from: Position | 0): Promise<AccountView | null> {
    const known = this.#versions.get(account);
    const since = known && (from === 0 || from >= known.receiptsSince) ? known.position : from === 0 ? null : Math.min(from, known?.position ?? from);
    const [at, changed] = await Promise.all([head, readParts(tx, account, known?.position ?? 0, since)]);
    if (!at) return null;
    const usable = known?.forgotten === at.forgotten && known.position <= at.position;
    const covers = (before: number) => (from === 0 ? before : Math.min(before, from));
    if (usable && known.position === at.position && covers(known.receiptsSince) === known.receiptsSince) return known;
    const { position, forgotten } = at;
    const moment = { position, forgotten, since: null, recent: usable && known.position === position ? known.recent : [] };
    const version: Version = usable
      ? { ...merged(known, changed), ...moment, receiptsSince: covers(known.receiptsSince) }
      : {
          ...merged(NOTHING, known ? await readParts(tx, account, 0, from === 0 ? null : from) : changed),
          ...moment,
          receiptsSince: covers(position),
        };
    // Meanwhile another evaluation or a batch may have cached a later moment, or more receipts of the same one.
    const newest = this.#versions.get(account);
    if (newest?.position === position && newest.forgotten === forgotten && newest.receiptsSince <= version.receiptsSince) return newest;
    if (!newest || newest.forgotten !== at.forgotten || newest.position <= at.position) this.#versions.set(account, version);
    return version;
  }
}

/** What changed after a position; null: it is unknown which receipts did. */
export function changedAfter(view: AccountView, from: number): ChangedRooms | null {
  if (from >= view.position) return { typing: NONE, receipts: NONE, accountData: NONE };
  if (from < view.receiptsSince) return null;
  return {
    typing: new Set([...view.typing].filter(([, row]) => row.ord > from).map(([roomId]) => roomId)),
    receipts: new Set([...view.receipts].filter(([, ord]) => ord > from).map(([roomId]) => roomId)),
    accountData: new Set([...view.data].flatMap(([roomId, rows]) => (roomId !== "" && rows.some((row) => row.ord > from) ? [roomId] : []))),
  };
}

/** Rooms that the user joined or left after a position. */
export function movedAfter({ position, byId }: AccountView, from: number): RoomId[] {
  if (from >= position) return [];
  return [...byId.values()].flatMap(({ roomId, membershipOrd }) => (membershipOrd > from ? [roomId] : []));
}

/** @param receiptsAfter null: receipts are not needed */
async function readParts(tx: Tx, account: AccountNo, after: Position | 0, receiptsAfter: number | null): Promise<Parts> {
  const [rooms, parts] = await Promise.all([
    readAccountRooms(tx, account, after),
    readPartChanges(tx, account, after, receiptsAfter ?? Number.MAX_SAFE_INTEGER),
  ]);
  return { rooms, ...parts };
}

/** What a batch changes in a view; null: it concerns a room that is not known. */
function partsOf({ byId, sticky, profilesOrd }: AccountView, { writes }: StoredBatch, now: number): Parts | null {
  const facts = new Map(writes.facts.map((row) => [row.room_id, row]));
  const rooms: AccountRoom[] = [];
  for (const standing of writes.standings) {
    const [known, changed] = [byId.get(standing.room_id), facts.get(standing.room_id)];
    const sent = changed ? { membership: changed.membership, facts: parseFacts(changed.facts), factsOrd: changed.from_ord } : known;
    if (!sent || (known?.purged && !changed)) return null;
    rooms.push({
      roomId: standing.room_id,
      membership: sent.membership,
      facts: sent.facts,
      factsOrd: sent.factsOrd,
      changedOrd: standing.changed_ord,
      membershipOrd: standing.membership_ord,
      activeOrd: standing.active_ord,
      bumpOrd: standing.bump_ord,
      kicked: standing.kicked,
      everJoined: standing.ever_joined,
      inviter: standing.inviter,
      endedOrd: standing.ended_ord,
      purged: false,
    });
  }
  const receipts = [...Map.groupBy(writes.receipts, (row) => row.room_id)].map(([room_id, rows]) => ({
    room_id,
    ord: Math.max(...rows.map((row) => row.ord)),
  }));
  return {
    rooms,
    data: writes.accountData,
    typing: writes.typing,
    receipts,
    presenceOrd: writes.presence.reduce((last, { ord }) => Math.max(last, ord), 0),
    threadsOrd: 0,
    sticky: stickyAfter(sticky, writes, now),
    profilesOrd: writes.profiles.at(-1)?.ord ?? profilesOrd,
  };
}

function stickyAfter(known: readonly StickyRow[], { stickyEvents, stickyEnds }: StoredBatch["writes"], now: number): readonly StickyRow[] {
  if (stickyEvents.length + stickyEnds.length === 0) return known;
  const [again, ended] = [new Set(stickyEvents.map((row) => row.event_id)), new Set(stickyEnds.map((row) => row.room_id))];
  return [...known.filter((row) => isSticky(row, now) && !again.has(row.event_id) && !ended.has(row.room_id)), ...stickyEvents];
}

type Merged = Pick<AccountView, "byId" | "sorted" | "data" | "typing" | "receipts" | "presenceOrd" | "threadsOrd" | "sticky" | "profilesOrd">;
const NOTHING: Merged = {
  byId: new Map(),
  sorted: [],
  data: new Map(),
  typing: new Map(),
  receipts: new Map(),
  presenceOrd: 0,
  threadsOrd: 0,
  sticky: [],
  profilesOrd: 0,
};

function merged(known: Merged, { rooms, data, typing, receipts, presenceOrd, threadsOrd, sticky, profilesOrd }: Parts): Merged {
  const byId = rooms.length === 0 ? known.byId : new Map([...known.byId, ...rooms.map((room) => [room.roomId, room] as const)]);
  return {
    byId,
    sorted: rooms.length === 0 ? known.sorted : resorted(known.sorted, rooms),
    data: data.length === 0 ? known.data : mergedData(known.data, data),
    typing: typing.length === 0 ? known.typing : new Map([...known.typing, ...typing.map((row) => [row.room_id, row] as const)]),
    receipts: receipts.length === 0 ? known.receipts : new Map([...known.receipts, ...receipts.map((row) => [row.room_id, row.ord] as const)]),
    presenceOrd: Math.max(known.presenceOrd, presenceOrd),
    threadsOrd: Math.max(known.threadsOrd, threadsOrd),
    sticky,
    profilesOrd,
  };
}

/** Only the rooms that moved are inserted again, since they are few. */
function resorted(sorted: readonly AccountRoom[], changed: readonly AccountRoom[]): AccountRoom[] {
  const moved = new Set(changed.map((room) => room.roomId));
  const fresh = changed.toSorted((a, b) => b.activeOrd - a.activeOrd);
  const result: AccountRoom[] = [];
  let next = 0;
  for (const room of sorted) {
    if (moved.has(room.roomId)) continue;
    for (let one = fresh[next]; one && one.activeOrd > room.activeOrd; one = fresh[next]) {
      result.push(one);
      next += 1;
    }
    result.push(room);
  }
  return [...result, ...fresh.slice(next)];
}

function mergedData(known: AccountView["data"], changed: readonly DataRow[]): AccountView["data"] {
  const all = new Map(known);
  for (const [roomId, rows] of Map.groupBy(changed, (row) => row.room_id)) {
    const types = new Set(rows.map((row) => row.type));
    const unchanged = (all.get(roomId) ?? []).filter((row) => !types.has(row.type));
    all.set(
      roomId,
      [...unchanged, ...rows].sort((a, b) => (a.type < b.type ? -1 : 1)),
    );
  }
  return all;
}

function sizeOf({ byId, data, sticky }: Version): number {
  let characters = 0;
  for (const rows of data.values()) for (const row of rows) characters += row.body.length;
  return byId.size + sticky.length + Math.ceil(characters / DATA_PER_ROOM) + 1;
}
