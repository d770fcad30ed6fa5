/**
 * The first sync of a large account takes its homeserver many seconds, whatever of it is asked for. A single room takes it milliseconds:
 * those that the user likeliest wants to see are fetched before, so that there is something to show.
 */

import type { Logger } from "../base/logger.ts";
import type { Sql } from "../store/db.ts";
import { isObject } from "../wire/identifier.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../wire/ids.ts";
import { eachElement } from "../wire/json-scan.ts";
import type { HomeserverClient } from "./client.ts";
import { cutAnswer } from "./fetch.ts";
import { directRooms } from "./ingest/facts.ts";
import { storeEarly } from "./ingest/store-early.ts";
import { FIRST_TIMELINE } from "./v2-filter.ts";

export type EarlyDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "joinedRooms" | "accountData" | "state" | "messages">;
  readonly logger: Logger;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
};

/** A room in the form of a v2 response's section, and when it came, ms. */
type Section = { readonly text: string; readonly receivedAt: number };

export type EarlyJob = { readonly account: AccountNo; readonly device: DeviceNo; readonly epoch: number; readonly userId: UserId };

/** Accounts with fewer rooms have their first sync about as soon. */
const MANY_ROOMS = 200;
/** As many as a client's first window has; those that are being asked about then are told as well. And how many are asked about at the same time. */
const ENOUGH = 20;
const AT_ONCE = 5;
/** Rooms that cannot be had, or are too large, are passed over: at most so many are tried. */
const TRIED = 40;
const MAX_STATE_BYTES = 4 * 1024 * 1024;
/** For all of it, ms. What is there by then is stored. */
const PATIENCE_MS = 1500;
const HEROES = 5;

const DIRECT = "m.direct";
const RECENT = "im.vector.setting.breadcrumbs";
const IGNORED = "m.ignored_user_list";

/** Fetches and stores. Never rejects: what fails comes with the first sync. True: there are rooms to be told of. */
export async function tellEarly(deps: EarlyDeps, job: EarlyJob, token: string, stop: AbortSignal): Promise<boolean> {
  const started = deps.now();
  const signal = AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]);
  try {
    const joined = await deps.client.joinedRooms(token, signal);
    if (joined.length < MANY_ROOMS) return false;
    const data = await accountDataOf(deps, job, token, signal);
    const rooms = await fetchRooms(likeliest(joined, data), (roomId) => fetchRoom(deps, job.userId, token, roomId, signal), signal);
    if (rooms.size === 0) return false;
    const now = Math.max(...rooms.values().map((room) => room.receivedAt));
    const isStored = await storeEarly(deps.sql, { ...job, joined: joined.length, text: responseOf(rooms, data), now });
    const figures = { account: job.account, rooms: rooms.size, joined: joined.length, ms: Math.round(deps.now() - started) };
    if (isStored) deps.logger.info(figures, "Single rooms are told before the account's first sync");
    return isStored;
  } catch (error) {
    deps.logger.info({ account: job.account, reason: error instanceof Error ? error.message : String(error) }, "No rooms are told early");
    return false;
  }
}

/** By type, the content's text, where there is one. */
async function accountDataOf({ client }: EarlyDeps, { userId }: EarlyJob, token: string, signal: AbortSignal): Promise<Map<string, string>> {
  const asked = [DIRECT, RECENT, IGNORED].map(async (type) => [type, await client.accountData(token, userId, type, signal)] as const);
  const found = await Promise.all(asked);
  return new Map(found.flatMap(([type, text]) => (text === null ? [] : [[type, text]])));
}

/** Recently visited rooms, then direct ones, then others. */
function likeliest(joined: readonly RoomId[], data: ReadonlyMap<string, string>): RoomId[] {
  const contentOf = (type: string): unknown => JSON.parse(data.get(type) ?? "{}");
  const recent = contentOf(RECENT);
  const visited = isObject(recent) && Array.isArray(recent["recent_rooms"]) ? recent["recent_rooms"] : [];
  const isJoined = new Set<unknown>(joined);
  const wanted = new Set([...visited, ...directRooms(contentOf(DIRECT))].filter((room) => isJoined.has(room)) as RoomId[]);
  return [...wanted.union(new Set(joined))].slice(0, TRIED);
}

/** The first rooms that can be had in time. */
async function fetchRooms(
  candidates: readonly RoomId[],
  fetchOne: (roomId: RoomId) => Promise<Section>,
  signal: AbortSignal,
): Promise<Map<RoomId, Section>> {
  const sections = new Map<RoomId, Section>();
  const left = candidates.values();
  const work = async () => {
    for (const roomId of left) {
      if (sections.size >= ENOUGH || signal.aborted) return;
      // oxlint-disable-next-line no-await-in-loop -- so many at once as there are workers
      const section = await fetchOne(roomId).catch(() => null);
      if (section !== null) sections.set(roomId, section);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return sections;
}

/** As with lazily loaded members. State first: what happens in between is in the timeline. */
async function fetchRoom({ client }: EarlyDeps, me: UserId, token: string, roomId: RoomId, signal: AbortSignal): Promise<Section> {
  const state = stateEvents((await client.state(token, roomId, signal, MAX_STATE_BYTES)).text);
  const answer = await client.messages(token, roomId, { from: null, dir: "b", limit: FIRST_TIMELINE }, signal);
  const messages = cutAnswer(answer.text);
  const timeline = messages.chunk.toReversed();
  const events = timeline.map((text) => JSON.parse(text) as StateEvent);
  const told = new Set(events.map((event) => event.event_id));
  const heroes = heroesOf(state, me);
  const members = new Set<unknown>([me, ...heroes, ...events.map((event) => event.sender)]);
  const before = state.filter(({ event }) => !told.has(event.event_id) && (event.type !== "m.room.member" || members.has(event.state_key)));
  const summary = {
    "m.heroes": heroes,
    "m.joined_member_count": state.filter(({ membership }) => membership === "join").length,
    "m.invited_member_count": state.filter(({ membership }) => membership === "invite").length,
  };
  const limits = { limited: messages.end !== null, ...(messages.end !== null && { prev_batch: messages.end }) };
  const text =
    `{"summary":${JSON.stringify(summary)},"state":{"events":[${before.map((event) => event.text).join()}]},` +
    `"timeline":{"events":[${timeline.join()}],${JSON.stringify(limits).slice(1)}}`;
  return { text, receivedAt: answer.receivedAt };
}

type StateEvent = {
  readonly type?: unknown;
  readonly event_id?: unknown;
  readonly sender?: unknown;
  readonly state_key?: unknown;
  readonly content?: Readonly<Record<string, unknown>>;
  readonly origin_server_ts?: number;
};
/** `membership`: of member events. */
type StateText = { readonly text: string; readonly event: StateEvent; readonly membership: unknown };

/** The answer of /state. */
function stateEvents(answer: string): StateText[] {
  const events: StateText[] = [];
  eachElement(answer, 0, (from, to) => {
    const text = answer.slice(from, to);
    const event = JSON.parse(text) as StateEvent;
    events.push({ text, event, membership: event.type === "m.room.member" ? event.content?.["membership"] : undefined });
  });
  return events;
}

/** Who a room may be named after, as a v2 summary has it: the longest there first; where nobody is, who was. */
function heroesOf(state: readonly StateText[], me: UserId): unknown[] {
  const others = state.filter(({ event, membership }) => membership !== undefined && event.state_key !== me);
  const present = others.filter(({ membership }) => membership === "join" || membership === "invite");
  const ranked = (present.length > 0 ? present : others).toSorted((a, b) => (a.event.origin_server_ts ?? 0) - (b.event.origin_server_ts ?? 0));
  return ranked.slice(0, HEROES).map(({ event }) => event.state_key);
}

function responseOf(rooms: ReadonlyMap<RoomId, Section>, data: ReadonlyMap<string, string>): string {
  const join = [...rooms].map(([roomId, section]) => `${JSON.stringify(roomId)}:${section.text}`);
  const events = [...data].map(([type, content]) => `{"type":${JSON.stringify(type)},"content":${content}}`);
  return `{"next_batch":"early","account_data":{"events":[${events.join()}]},"rooms":{"join":{${join.join()}}}}`;
}
