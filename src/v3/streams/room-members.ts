/** S3 Room members: pages of a snapshot in a chosen order, or the changes since. */

import { createHash } from "node:crypto";
import { type EventRow, rowText } from "../../store/event-row.ts";
import { memberChanges, memberPage, membersAt, membersLearnedAfter, membersState, type MemberOrder, type MemberRow } from "../../store/members.ts";
import { stateEvent } from "../../store/state.ts";
import { powerLevels } from "../../wire/power-levels.ts";
import { roomVersionOf } from "../../wire/room-versions.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { FORBIDDEN, roomGate } from "./gate.ts";
import { canonicalJson } from "../../base/canonical-json.ts";
import type { Need } from "../../sync/fetch-need.ts";
import type { Context, Evaluation, Memory, Stream } from "./stream.ts";
import { needKey } from "../../sync/fetch-need.ts";
import { clampLimit, NO_NEWS } from "./stream.ts";

export type MembersParams = {
  readonly roomId: RoomId | null;
  readonly membership: readonly string[];
  readonly limit: number;
  readonly sort: MembersSort;
};

export type MembersSort = "by_pl" | "by_name";

const SORTS: ReadonlySet<unknown> = new Set(["by_pl", "by_name"]);

/** An unknown sort is negotiated to the default (R16); a list of sorts counts by its first known one. */
export function membersSort(asked: unknown): MembersSort {
  const known = (Array.isArray(asked) ? asked : [asked]).find((sort) => SORTS.has(sort));
  return (known as MembersSort | undefined) ?? "by_pl";
}

export const membersLimit = (asked: unknown) => clampLimit(asked, 50, 1000);

export const roomMembers: Stream<MembersParams> = {
  key: "room_members",
  // State: power levels change the order of page one (D16).
  kinds: new Set(["members", "facts", "state"]),
  resolve(raw) {
    const p = (raw["p"] ?? {}) as { limit?: unknown; sort?: unknown };
    return {
      roomId: (raw["room_id"] as RoomId | undefined) ?? null,
      membership: (raw["membership"] as readonly string[] | undefined) ?? ["join", "invite"],
      limit: membersLimit(p.limit),
      sort: membersSort(p.sort),
    };
  },
  selection: (params) => [params.roomId, params.membership, params.sort],
  async evaluate(context, params, memory, firstPage) {
    const { roomId } = params;
    if (roomId === null) return memory ? { ...NO_NEWS, memory } : { text: emptyPage(params), news: true, memory: {} };
    const gate = await roomGate(context, roomId, memory);
    const places = { members: context.to };
    switch (gate.step) {
      case "forbid":
        return { text: `{${FORBIDDEN}}`, news: true, memory: gate.memory, places };
      case "silent":
        return { ...NO_NEWS, memory: gate.memory, places };
      case "lost":
        return lastDelta(context, params, roomId, memory, gate.memory);
      case "start":
      case "delta": {
        const paged = gate.step === "start" || firstPage;
        const need = await missingList(context, roomId, paged);
        // Not told until the list is known: a delta's place stays, so that nothing of it is skipped, a start is put off (D24).
        const kept = gate.step === "start" ? undefined : memory;
        if (need === "wait") return { ...NO_NEWS, memory: kept, places: { members: context.from.members } };
        if (need) return { ...NO_NEWS, memory: kept, places: { members: context.from.members }, needs: [need] };
        if (paged) return pageOne(context, params, roomId, memory, gate.memory, firstPage);
        return delta(context, params, roomId, gate.memory);
      }
    }
  },
};

/**
 * The need for a full list that is not known; "wait": it was tried in this request and is not there yet, or the streams are held
 * back to where it was not (D19), and `pages` of it are asked for.
 */
export async function missingList(context: Context, roomId: RoomId, pages: boolean): Promise<Need | "wait" | null> {
  if ((await membersState(context.tx, context.account, roomId)) !== "complete") {
    const need: Need = { kind: "members", roomId };
    return context.tried.has(needKey(need)) ? "wait" : need;
  }
  return pages && (await membersLearnedAfter(context.tx, context.account, roomId, context.to)) ? "wait" : null;
}

async function pageOne(
  context: Context,
  params: MembersParams,
  roomId: RoomId,
  before: Memory | undefined,
  after: Memory,
  asked: boolean,
): Promise<Evaluation> {
  const places = { members: context.to };
  const page = await readPage(context, params, roomId, context.to, null);
  const hash = createHash("sha256")
    .update(canonicalJson([params, page.ids]))
    .digest("base64url");
  const memory = { ...after, page: hash };
  // D16: the same page one as in this token's last answer is no news.
  if (asked && before?.["page"] === hash) return { ...NO_NEWS, memory, places };
  return { text: page.text, news: true, memory, places };
}

function withoutPage({ page: _page, ...memory }: Memory): Memory {
  return memory;
}

/** What happened since, at most `limit`: the rest is told from where this ends. */
async function delta(context: Context, params: MembersParams, roomId: RoomId, memory: Memory): Promise<Evaluation> {
  const { told, members } = await changes(context, params, roomId);
  if (told.length === 0) return { ...NO_NEWS, memory, places: { members } };
  const text = `{"events":[${texts(context, told)}],"p":${negotiated(params)}}`;
  return { text, news: true, memory: withoutPage(memory), places: { members } };
}

/** The room was left (D18): what happened until then, as far as the limit goes, and with the last of it the user's own leave. */
async function lastDelta(context: Context, params: MembersParams, roomId: RoomId, before: Memory | undefined, after: Memory): Promise<Evaluation> {
  const { told, members } = await changes(context, params, roomId);
  if (members < context.to) {
    const text = `{"events":[${texts(context, told)}],"p":${negotiated(params)}}`;
    return { text, news: true, memory: withoutPage(before ?? {}), places: { members } };
  }
  const own = await membersAt(context.tx, context.account, [{ roomId, userId: context.userId, at: context.to }]);
  const leave = own.filter((row) => row.membership !== "join" && !told.some((event) => event.event_id === row.event_id));
  const text = `{"events":[${texts(context, [...told, ...leave])}],"p":${negotiated(params)},${FORBIDDEN}}`;
  return { text, news: true, memory: withoutPage(after), places: { members } };
}

/** The events since the token's place, and the place behind them. */
async function changes(context: Context, params: MembersParams, roomId: RoomId): Promise<{ told: readonly MemberRow[]; members: Position }> {
  const rows = await memberChanges(context.tx, context.account, roomId, {
    from: context.from.members,
    to: context.to,
    membership: params.membership,
    limit: params.limit + 1,
  });
  const told = rows.slice(0, params.limit);
  const last = told.at(-1);
  return { told, members: rows.length > params.limit && last ? (last.from_ord as Position) : context.to };
}

/**
 * A page of the members at `at` after the user `after` (null: page one): the stream's object, and the ids of its events.
 * Used for page requests (D14) and by the room stream for its first page of members.
 */
export async function readPage(
  context: Context,
  params: Pick<MembersParams, "membership" | "limit" | "sort">,
  roomId: RoomId,
  at: Position,
  after: string | null,
): Promise<{ text: string; ids: readonly string[] }> {
  const order = await memberOrder(context, params.sort, roomId, at);
  const rows = await memberPage(context.tx, context.account, roomId, {
    at,
    membership: params.membership,
    order,
    after,
    limit: params.limit + 1,
  });
  const listed = rows.slice(0, params.limit);
  const last = listed.at(-1);
  const next =
    rows.length > params.limit && last
      ? context.sealPage({ stream: "room_members", roomId, membership: params.membership, sort: params.sort, after: last.user_id })
      : undefined;
  return {
    text: `{"events":[${texts(context, listed)}],"p":${negotiated(params, next)}}`,
    ids: listed.map((row) => row.event_id),
  };
}

async function memberOrder(context: Context, sort: MembersSort, roomId: RoomId, at: Position): Promise<MemberOrder> {
  if (sort === "by_name") return { by: "name" };
  const [levels, create] = await Promise.all([
    stateEvent(context.tx, context.account, { roomId, type: "m.room.power_levels", stateKey: "", at }),
    stateEvent(context.tx, context.account, { roomId, type: "m.room.create", stateKey: "", at }),
  ]);
  const created = create ? (JSON.parse(create.body) as { content?: { additional_creators?: unknown } }).content : undefined;
  const content = levels ? (JSON.parse(levels.body) as { content?: unknown }).content : null;
  const read = powerLevels(content, create?.sender ?? null, created?.additional_creators, roomVersionOf(created));
  return { by: "power", explicit: read.explicit, usersDefault: read.usersDefault };
}

function negotiated(params: Pick<MembersParams, "limit" | "sort">, next?: string): string {
  return JSON.stringify({ limit: params.limit, sort: params.sort, next });
}

function emptyPage(params: MembersParams): string {
  return `{"events":[],"p":${negotiated(params)}}`;
}

function texts(context: Context, rows: readonly (MemberRow | EventRow)[]): string {
  return rows.map((row) => rowText(row, context.device, context.now)).join(",");
}
