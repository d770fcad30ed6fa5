/**
 * What a connection was sent, once it has been idle for a while: all of its states as one, in at most 64 bytes a room.
 *
 * The client may continue from any of them, since it may not have received the last answers. So the one state says of each room only what holds
 * for all of them: whichever position the client has, it is sent what it may lack, perhaps once more.
 *
 * Rooms are digests, to be looked up among the account's rooms. Lazily sent members are left out: they are sent again with their next event.
 */

import { hash } from "node:crypto";
import { Slices } from "../base/slices.ts";
import type { FoldedBody } from "../store/connections.ts";
import type { RoomId } from "../wire/ids.ts";
import {
  type ConnectionState,
  LIVE,
  MAYBE,
  NO_RECORD,
  NOTHING_SENT,
  type RoomStream,
  type SentRoom,
  type SentUpTo,
  StateDraft,
  STREAMS,
  STRIPPED,
} from "./connection-state.ts";
import { matcherOf, NO_STATE } from "./required-state.ts";

/** One state that can be taken for any of these, oldest first and at least one. */
export async function mergedState(states: readonly ConnectionState[]): Promise<ConnectionState> {
  const slices = new Slices();
  const newest = states.at(-1) ?? NOTHING_SENT;
  const draft = new StateDraft(NOTHING_SENT);
  for (const roomId of new Set(states.flatMap(({ rooms }) => [...rooms.keys()]))) {
    if (slices.isDue) await slices.pause();
    const records = states.map(({ rooms }) => rooms.get(roomId) ?? NO_RECORD);
    draft.put(roomId, {
      sent: commonSent(records),
      limit: Math.min(...records.map(({ limit }) => limit)),
      config: commonConfig(states, records, draft),
      lazy: [],
    });
  }
  draft.setGlobal(common(states.map(({ global }) => global)));
  draft.setPresence(common(states.map(({ presence }) => presence)));
  draft.setThreads(common(states.map(({ threads }) => threads)));
  draft.setPassedOver(earliest(states.map(({ passedOver }) => passedOver)));
  const isSame = states.every(({ profiles }) => JSON.stringify(profiles) === JSON.stringify(newest.profiles));
  if (isSame) draft.setProfiles(newest.profiles);
  draft.setE2ee(states.some(({ e2ee }) => e2ee));
  const configOf = (index: number) => draft.config(newest.configs[index] ?? NO_STATE);
  draft.setSticky(new Map([...newest.sticky].map(([roomId, [limit, config]]) => [roomId, [limit, configOf(config)] as const])));
  return draft.done();
}

function commonSent(records: readonly SentRoom[]): SentRoom["sent"] {
  const all: Partial<Record<RoomStream, number>> = {};
  for (const stream of STREAMS) {
    const sent = common(records.map((record) => record.sent[stream]));
    if (sent !== undefined) all[stream] = sent;
  }
  return all;
}

/** What holds for each of these: MAYBE if only some of the answers have sent it; LIVE is the same as any position that is not lower. */
function common(values: readonly SentUpTo[]): SentUpTo {
  if (values.every((value) => value === values[0])) return values[0];
  if (values.includes(undefined)) return MAYBE;
  return Math.min(...values.flatMap((value) => (value === undefined || value === LIVE ? [] : [value])));
}

/** The lowest of each room. */
function earliest(all: readonly ConnectionState["passedOver"][]): ConnectionState["passedOver"] {
  const lowest = new Map<RoomId, number>();
  for (const one of all) for (const [roomId, ord] of one) lowest.set(roomId, Math.min(ord, lowest.get(roomId) ?? ord));
  return lowest;
}

function commonConfig(states: readonly ConnectionState[], records: readonly SentRoom[], draft: StateDraft): number {
  if (records.every(({ config }) => config === STRIPPED)) return STRIPPED;
  const configs = records.map(({ config }, index) => states[index]?.configs[config] ?? NO_STATE);
  const [first = NO_STATE] = configs;
  return draft.config(configs.every((one) => one === first || matcherOf(one).key === matcherOf(first).key) ? first : NO_STATE);
}

/** All but the rooms. */
type Head = Omit<ConnectionState, "rooms" | "sticky" | "passedOver"> & {
  readonly sticky: readonly (readonly [RoomId, readonly [number, number]])[];
  readonly passedOver: readonly (readonly [RoomId, number])[];
};

const DIGEST_BYTES = 16;
/** Two bits for each stream of a room. */
const [NEVER_SENT, SENT_LIVE, SENT_UP_TO] = [0, 1, 2];

/** The state without lazily sent members: the length of the head, the head as JSON, the rooms. */
export async function folded({ rooms, ...rest }: ConnectionState): Promise<Buffer> {
  const slices = new Slices();
  const json = Buffer.from(JSON.stringify({ ...rest, sticky: [...rest.sticky], passedOver: [...rest.passedOver] } satisfies Head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  const parts: Buffer[] = [length, json];
  for (const [roomId, record] of rooms) {
    if (slices.isDue) await slices.pause();
    parts.push(digestOf(roomId), Buffer.from(recordBytes(record)));
  }
  return Buffer.concat(parts);
}

/** What `folded` wrote, without rooms that the account has no more. */
export async function unfolded({ bytes, rooms }: FoldedBody): Promise<ConnectionState> {
  const slices = new Slices();
  const byDigest = new Map<string, RoomId>();
  for (const roomId of rooms) {
    if (slices.isDue) await slices.pause();
    byDigest.set(digestOf(roomId).toString("latin1"), roomId);
  }
  const headEnd = 4 + bytes.readUInt32BE(0);
  const head = JSON.parse(bytes.toString("utf8", 4, headEnd)) as Head;
  const reader = new Reader(bytes, headEnd);
  const records = new Map<RoomId, SentRoom>();
  while (!reader.ended) {
    if (slices.isDue) await slices.pause();
    const roomId = byDigest.get(reader.text(DIGEST_BYTES));
    const record = recordFrom(reader);
    if (roomId !== undefined) records.set(roomId, record);
  }
  const { global, presence, threads, profiles } = head;
  return {
    ...head,
    global,
    presence,
    threads,
    profiles: { sent: profiles.sent, fields: profiles.fields },
    sticky: new Map(head.sticky),
    passedOver: new Map(head.passedOver),
    rooms: records,
  };
}

/** Nobody finds two rooms of one digest. */
function digestOf(roomId: RoomId): Buffer {
  return hash("sha256", roomId, "buffer").subarray(0, DIGEST_BYTES);
}

/** At most 48 bytes: the streams' kinds, the positions of those that have one, limit and config. */
function recordBytes({ sent, limit, config }: SentRoom): number[] {
  const bytes: number[] = [];
  putNumber(
    bytes,
    STREAMS.reduce((bits, stream, index) => bits | (kindOf(sent[stream]) << (2 * index)), 0),
  );
  for (const stream of STREAMS) if (kindOf(sent[stream]) === SENT_UP_TO) putNumber(bytes, sent[stream] ?? 0);
  putNumber(bytes, limit);
  putNumber(bytes, config + 1);
  return bytes;
}

function kindOf(sent: SentUpTo): number {
  return sent === undefined ? NEVER_SENT : sent === LIVE ? SENT_LIVE : SENT_UP_TO;
}

function recordFrom(reader: Reader): SentRoom {
  const kinds = reader.number();
  const sent: Partial<Record<RoomStream, number>> = {};
  for (const [index, stream] of STREAMS.entries()) {
    const kind = (kinds >> (2 * index)) & 3;
    if (kind !== NEVER_SENT) sent[stream] = kind === SENT_LIVE ? LIVE : reader.number();
  }
  return { sent, limit: reader.number(), config: reader.number() - 1, lazy: [] };
}

/** A number from 0 to 2^53 - 1: seven bits a byte, the lowest first; all bytes but the last are 128 or more. */
function putNumber(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
}

class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  text(length: number): string {
    return this.#bytes.toString("latin1", this.#at, (this.#at += length));
  }

  number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = this.byte();
      value += (byte % 128) * unit;
      if (byte < 128) return value;
    }
  }
}
