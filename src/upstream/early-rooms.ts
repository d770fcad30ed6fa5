/**
 * The first sync of a large account takes its homeserver many seconds, whatever it asks for. A single room takes it milliseconds. So the
 * rooms that the user most likely wants to see are fetched before, so that there is something to show.
 */

import type { Logger } from "../base/logger.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { isObject } from "../wire/identifier.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../wire/ids.ts";
import type { HomeserverClient } from "./client.ts";
import { directRooms } from "./ingest/facts.ts";
import { storeEarly } from "./ingest/store-early.ts";
import { readRoom, type RoomRead } from "./read-room.ts";

export type EarlyDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "joinedRooms" | "accountData" | "state" | "messages">;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
};

export type EarlyJob = { readonly account: AccountNo; readonly device: DeviceNo; readonly epoch: number; readonly userId: UserId };

/** Below this, the first sync itself is about as fast. */
const MANY_ROOMS = 200;
/** As many rooms as a client's first window has; requests under way at that moment may add a few. And how many are requested at the same time. */
const ENOUGH = 20;
const AT_ONCE = 5;
/** Rooms that cannot be fetched, or are too large, are skipped. Most rooms that are tried. */
const TRIED = 40;
/** Time limit for all of it, ms. What has arrived by then is stored. */
const PATIENCE_MS = 1500;

const DIRECT = "m.direct";
const RECENT = "im.vector.setting.breadcrumbs";
const IGNORED = "m.ignored_user_list";

/** Fetches and stores them, and says so to those who wait. Never rejects: rooms that fail come with the first sync. */
export async function storeEarlyRooms(deps: EarlyDeps, job: EarlyJob, token: string, stop: AbortSignal): Promise<void> {
  const started = deps.now();
  const signal = AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]);
  try {
    const joined = await deps.client.joinedRooms(token, signal);
    if (joined.length < MANY_ROOMS) return;
    const data = await accountDataOf(deps, job, token, signal);
    const rooms = await fetchRooms(likeliest(joined, data), (roomId) => readRoom(deps.client, { me: job.userId, token, roomId }, signal), signal);
    if (rooms.size === 0) return;
    const now = Math.max(...rooms.values().map((room) => room.receivedAt));
    const isStored = await storeEarly(deps.sql, { ...job, joined: joined.length, text: responseOf(rooms, data), now });
    const figures = { account: job.account, rooms: rooms.size, joined: joined.length, ms: Math.round(deps.now() - started) };
    if (!isStored) return;
    deps.logger.info(figures, "Some rooms are served before the account's first sync");
    deps.feed.publish({ type: "news", account: job.account });
  } catch (error) {
    deps.logger.info(
      { account: job.account, reason: error instanceof Error ? error.message : String(error) },
      "No rooms can be served before the account's first sync",
    );
  }
}

/** By type, the content's text, if there is one. */
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

/** The first rooms that can be fetched in time. */
async function fetchRooms(
  candidates: readonly RoomId[],
  fetchOne: (roomId: RoomId) => Promise<RoomRead>,
  signal: AbortSignal,
): Promise<Map<RoomId, RoomRead>> {
  const sections = new Map<RoomId, RoomRead>();
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

function responseOf(rooms: ReadonlyMap<RoomId, RoomRead>, data: ReadonlyMap<string, string>): string {
  const join = [...rooms].map(([roomId, section]) => `${JSON.stringify(roomId)}:${section.text}`);
  const events = [...data].map(([type, content]) => `{"type":${JSON.stringify(type)},"content":${content}}`);
  return `{"next_batch":"early","account_data":{"events":[${events.join()}]},"rooms":{"join":{${join.join()}}}}`;
}
