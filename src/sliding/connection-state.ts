/**
 * What a position of a connection stands for: what the client has been sent of each room, and with which config (MSC4186,
 * "Connections"). Immutable: an answer makes another state, so that a retry of the same position starts from the same one.
 *
 *   sent, for each (room, stream):
 *                 sent                 changed, but out of scope
 *     NEVER ---------------> LIVE ------------------------------> PREVIOUSLY(position)
 *   (undefined)               ^                                          |
 *                             +------------------------------------------+
 *                                      in scope again: sent since then
 */

import type { RoomId, UserId } from "../wire/ids.ts";
import { matcherOf, type RequiredState } from "./required-state.ts";

/** Parts of a room that are sent independently of each other. */
export const STREAMS = ["events", "receipts", "accountData", "typing", "profiles"] as const;
export type RoomStream = (typeof STREAMS)[number];

/** Sent up to the position that the state belongs to. */
export const LIVE = -1;

/**
 * It is unknown what the client has of it, since it may not have received the answer: it is sent as if never before, but that the room was left is
 * sent, too.
 */
export const MAYBE = 0;

/** In place of a config: the room was last sent as an invite or a knock, so no config can grow. */
export const STRIPPED = -1;

/** LIVE, or the position up to which something was sent; undefined: never sent. See MAYBE. */
export type SentUpTo = number | undefined;

export type SentRoom = {
  readonly sent: Readonly<Partial<Record<RoomStream, number>>>;
  /** The timeline limit that applied when the newest events were sent. */
  readonly limit: number;
  /** Index into `configs`: see `remembered`. Or STRIPPED. */
  readonly config: number;
  /** Users whose member events were sent lazily and are still current, in the order in which they were sent. */
  readonly lazy: readonly UserId[];
};

export type ConnectionState = {
  readonly rooms: ReadonlyMap<RoomId, SentRoom>;
  readonly configs: readonly RequiredState[];
  /** Global account data. */
  readonly global: SentUpTo;
  readonly presence: SentUpTo;
  /** Thread subscriptions. */
  readonly threads: SentUpTo;
  /** Device lists are sent from some moment on. */
  readonly e2ee: boolean;
  /** Sticky subscriptions (see SlidingBody): timeline limit and index into `configs`. */
  readonly sticky: ReadonlyMap<RoomId, readonly [number, number]>;
  /** Rooms with sticky events (MSC4480) that were not sent although they are acknowledged, and the ordinal up to which they were. */
  readonly passedOver: ReadonlyMap<RoomId, number>;
  /** Changes of profiles (MSC4262), and the fields that were asked for with them; null: all. */
  readonly profiles: { readonly sent: SentUpTo; readonly fields: readonly string[] | null };
};

export const NOTHING_SENT: ConnectionState = {
  rooms: new Map(),
  configs: [],
  global: undefined,
  presence: undefined,
  threads: undefined,
  e2ee: false,
  sticky: new Map(),
  passedOver: new Map(),
  profiles: { sent: undefined, fields: null },
};
export const NO_RECORD: SentRoom = { sent: {}, limit: 0, config: STRIPPED, lazy: [] };

/** A state with its number, and how it is stored. */
export type NumberedState = {
  readonly number: number;
  readonly state: ConnectionState;
  /** The full state that it is stored as a change of; null: it is stored in full itself. */
  readonly base: { readonly number: number; readonly rooms: ConnectionState["rooms"] } | null;
};

/** The position up to which a part of a room was sent; undefined: never. Of states that were merged, it may be later than the client's own. */
export function sentUpTo(record: SentRoom | undefined, stream: RoomStream, position: number): SentUpTo {
  const sent = record?.sent[stream];
  return sent === undefined ? undefined : sent === LIVE ? position : Math.min(sent, position);
}

/** A state being changed. */
export class StateDraft {
  readonly #before: ConnectionState;
  readonly #rooms: Map<RoomId, SentRoom>;
  readonly #configs: RequiredState[];
  readonly #indices: Map<string, number>;
  #sticky: ConnectionState["sticky"];
  #passedOver: ConnectionState["passedOver"];
  #profiles: ConnectionState["profiles"];
  #changed = false;
  #global: SentUpTo;
  #presence: SentUpTo;
  #threads: SentUpTo;
  #e2ee: boolean;

  constructor(before: ConnectionState) {
    this.#before = before;
    this.#rooms = new Map(before.rooms);
    this.#configs = [...before.configs];
    this.#indices = new Map(before.configs.map((config, index) => [matcherOf(config).key, index]));
    this.#global = before.global;
    this.#presence = before.presence;
    this.#threads = before.threads;
    this.#e2ee = before.e2ee;
    this.#sticky = before.sticky;
    this.#passedOver = before.passedOver;
    this.#profiles = before.profiles;
  }

  get global(): SentUpTo {
    return this.#global;
  }

  get profiles(): ConnectionState["profiles"] {
    return this.#profiles;
  }

  room(roomId: RoomId): SentRoom {
    return this.#rooms.get(roomId) ?? NO_RECORD;
  }

  put(roomId: RoomId, change: Partial<SentRoom>): void {
    const before = this.room(roomId);
    const after = { ...before, ...change };
    if (this.#rooms.has(roomId) && sameRecord(before, after)) return;
    this.#rooms.set(roomId, after);
    this.#changed = true;
  }

  setSent(roomId: RoomId, stream: RoomStream, sent: number): void {
    const record = this.room(roomId);
    if (record.sent[stream] !== sent) this.put(roomId, { sent: { ...record.sent, [stream]: sent } });
  }

  /** The config's index. */
  config(config: RequiredState): number {
    const { key } = matcherOf(config);
    let index = this.#indices.get(key);
    if (index === undefined) {
      index = this.#configs.push(config) - 1;
      this.#indices.set(key, index);
    }
    return index;
  }

  /** Characters of a config as JSON, by its index. */
  configSize(index: number): number {
    const config = this.#configs[index];
    return config ? matcherOf(config).key.length : 0;
  }

  setGlobal(sent: SentUpTo): void {
    this.#changed ||= sent !== this.#global;
    this.#global = sent;
  }

  setPresence(sent: SentUpTo): void {
    this.#changed ||= sent !== this.#presence;
    this.#presence = sent;
  }

  setThreads(sent: SentUpTo): void {
    this.#changed ||= sent !== this.#threads;
    this.#threads = sent;
  }

  setE2ee(on: boolean): void {
    this.#changed ||= on !== this.#e2ee;
    this.#e2ee = on;
  }

  setSticky(sticky: ConnectionState["sticky"]): void {
    if (JSON.stringify([...sticky]) === JSON.stringify([...this.#sticky])) return;
    this.#changed = true;
    this.#sticky = sticky;
  }

  setPassedOver(passedOver: ConnectionState["passedOver"]): void {
    if (JSON.stringify([...passedOver]) === JSON.stringify([...this.#passedOver])) return;
    this.#changed = true;
    this.#passedOver = passedOver;
  }

  setProfiles(profiles: ConnectionState["profiles"]): void {
    if (JSON.stringify(profiles) === JSON.stringify(this.#profiles)) return;
    this.#changed = true;
    this.#profiles = profiles;
  }

  /** The same object as before if nothing changed. */
  done(): ConnectionState {
    if (!this.#changed) return this.#before;
    return withoutUnused({
      rooms: this.#rooms,
      configs: this.#configs,
      global: this.#global,
      presence: this.#presence,
      threads: this.#threads,
      e2ee: this.#e2ee,
      sticky: this.#sticky,
      passedOver: this.#passedOver,
      profiles: this.#profiles,
    });
  }
}

/** Unused configs are dropped once there are many. */
function withoutUnused(state: ConnectionState): ConnectionState {
  if (state.configs.length <= 64) return state;
  const used = new Set([...[...state.rooms.values()].map((record) => record.config), ...[...state.sticky.values()].map(([, config]) => config)]);
  const remaining = state.configs.map((_, index) => index).filter((index) => used.has(index));
  if (remaining.length === state.configs.length) return state;
  const moved = new Map(remaining.map((index, newIndex) => [index, newIndex]));
  const at = (index: number) => moved.get(index) ?? -1;
  return {
    ...state,
    configs: remaining.flatMap((index) => state.configs[index] ?? []),
    rooms: new Map([...state.rooms].map(([room, record]) => [room, { ...record, config: at(record.config) }])),
    sticky: new Map([...state.sticky].map(([room, [limit, config]]) => [room, [limit, at(config)] as const])),
  };
}

function sameRecord(a: SentRoom, b: SentRoom): boolean {
  return (
    a.limit === b.limit &&
    a.config === b.config &&
    STREAMS.every((stream) => a.sent[stream] === b.sent[stream]) &&
    a.lazy.length === b.lazy.length &&
    a.lazy.every((user, index) => user === b.lazy[index])
  );
}

type StoredRecord = [...sent: (number | null)[], limit: number, config: number, lazy: readonly UserId[]];
type StoredBody = {
  readonly configs: readonly RequiredState[];
  readonly global: number | null;
  /** Absent in states of older versions. */
  readonly presence?: number | null;
  readonly threads?: number | null;
  readonly e2ee: boolean;
  readonly sticky: Readonly<Record<string, readonly [number, number]>>;
  /** Absent: none. */
  readonly passedOver?: Readonly<Record<string, number>>;
  /** Absent: never. */
  readonly profiles?: readonly [sent: number, fields: readonly string[] | null];
  readonly rooms: Readonly<Record<string, StoredRecord>>;
};

/** A change of more than this share of the rooms is stored in full. */
const WHOLE_FROM = 0.25;
const SMALL = 32;

/** `body`: JSON; with `base`, the change to that full state. */
export type StoredForm = { readonly base: NumberedState["base"]; readonly body: string };

/** How a state that follows `before` is stored: in full, or if that is shorter, as a change of a full state. */
export function storedForm(before: NumberedState, state: ConnectionState): StoredForm {
  const base = before.base ?? { number: before.number, rooms: before.state.rooms };
  // Rooms are never removed from a state, and configs only rarely.
  const changed = [...state.rooms].filter(([room, record]) => base.rooms.get(room) !== record);
  const isSmall = base.number > 0 && changed.length <= Math.max(SMALL, state.rooms.size * WHOLE_FROM);
  return isSmall ? { base, body: bodyOf(state, changed) } : fullForm(state);
}

export function fullForm(state: ConnectionState): StoredForm {
  return { base: null, body: bodyOf(state, [...state.rooms]) };
}

function bodyOf(state: ConnectionState, rooms: readonly (readonly [RoomId, SentRoom])[]): string {
  const { profiles, passedOver } = state;
  const body: StoredBody = {
    configs: state.configs,
    global: state.global ?? null,
    presence: state.presence ?? null,
    threads: state.threads ?? null,
    e2ee: state.e2ee,
    sticky: Object.fromEntries(state.sticky),
    ...(profiles.sent !== undefined && { profiles: [profiles.sent, profiles.fields] }),
    ...(passedOver.size > 0 && { passedOver: Object.fromEntries(passedOver) }),
    rooms: Object.fromEntries(rooms.map(([room, record]) => [room, toStored(record)])),
  };
  return JSON.stringify(body);
}

/** Reads a body that storedForm wrote: a full state, or the parts of one that changed. */
export function parseState(text: string): ConnectionState {
  const body = JSON.parse(text) as StoredBody;
  return {
    configs: body.configs,
    global: body.global ?? undefined,
    presence: body.presence ?? undefined,
    threads: body.threads ?? undefined,
    e2ee: body.e2ee,
    sticky: new Map(Object.entries(body.sticky) as [RoomId, readonly [number, number]][]),
    profiles: { sent: body.profiles?.[0], fields: body.profiles?.[1] ?? null },
    passedOver: new Map(Object.entries(body.passedOver ?? {}) as [RoomId, number][]),
    rooms: roomsOf(body),
  };
}

function roomsOf(body: StoredBody): Map<RoomId, SentRoom> {
  return new Map(Object.entries(body.rooms).map(([room, record]) => [room as RoomId, fromStoredRecord(record)]));
}

function toStored(record: SentRoom): StoredRecord {
  return [...STREAMS.map((stream) => record.sent[stream] ?? null), record.limit, record.config, record.lazy];
}

/** Older versions had fewer streams, those at the beginning. */
function fromStoredRecord(stored: StoredRecord): SentRoom {
  const streams = STREAMS.slice(0, stored.length - 3);
  const sent = Object.fromEntries(streams.flatMap((stream, index) => (typeof stored[index] === "number" ? [[stream, stored[index]]] : [])));
  const [limit, config, lazy] = stored.slice(-3) as [number, number, UserId[]];
  return { sent, limit, config, lazy };
}
