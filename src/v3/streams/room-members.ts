/** S3 Room members: pages of a snapshot in a chosen order, or the changes since. */

import { createHash } from "node:crypto";
import { memberChanges, memberPage, membersAt, membersLearnedAfter, membersState, type MemberOrder, type MemberRow } from "../../store/members.ts";
import { stateEvent } from "../../store/state.ts";
import { powerLevels } from "../../wire/power-levels.ts";
import { roomVersionOf } from "../../wire/room-versions.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import type { MembersAnswer } from "./answers.ts";
import { roomGate } from "./gate.ts";
import { canonicalJson } from "../../base/canonical-json.ts";
import type { Need } from "../../sync/fetch-need.ts";
import type { Context, Evaluation, Memory, MemoryChange, Stream } from "./stream.ts";
import { needKey } from "../../sync/fetch-need.ts";
import { clampLimit, NO_NEWS } from "./stream.ts";

export type MembersParams = {
  readonly roomId: RoomId | null;
  readonly membership: readonly string[];
  readonly limit: number;
  readonly sort: MembersSort;
};

export type MembersSort = "by_pl" | "by_name";

/** An unknown sort is negotiated to the default (R16); of a list, the first known sort counts. */
export function membersSort(asked: string | readonly string[] | undefined): MembersSort {
  return [asked ?? []].flat().find((sort) => sort === "by_pl" || sort === "by_name") ?? "by_pl";
}

export const membersLimit = (asked: number | undefined) => clampLimit(asked, 50, 1000);

export const roomMembers: Stream<"room_members", MembersParams> = {
  key: "room_members",
  // State is included because power levels change the order of page one (D16).
  kinds: new Set(["members", "facts", "state"]),
  resolve: ({ room_id, membership, p }) => ({
    roomId: room_id ?? null,
    membership: membership ?? ["join", "invite"],
    limit: membersLimit(p?.limit),
    sort: membersSort(p?.sort),
  }),
  selection: (params) => [params.roomId, params.membership, params.sort],
  async evaluate(context, params, memory, firstPage) {
    const { roomId } = params;
    if (roomId === null) return memory ? { ...NO_NEWS, memory } : { answer: { events: [], p: negotiated(params) }, news: true, memory: {} };
    const gate = await roomGate(context, roomId, memory);
    const cursors = { members: context.to };
    switch (gate.step) {
      case "forbid":
        return { answer: { forbidden: true }, news: true, memory: gate.memory, cursors };
      case "silent":
        return { ...NO_NEWS, memory: gate.memory, cursors };
      case "lost":
        return lastDelta(context, params, roomId, { before: memory, after: gate.memory });
      case "start":
      case "delta": {
        const paged = gate.step === "start" || firstPage;
        const need = await missingList(context, roomId, paged);
        // Nothing is sent until the list is known. A delta keeps its cursor, so that nothing is skipped; a start is postponed (D24).
        const unchanged = gate.step === "start" ? undefined : memory;
        if (need === "wait") return { ...NO_NEWS, memory: unchanged, cursors: { members: context.from.members } };
        if (need) return { ...NO_NEWS, memory: unchanged, cursors: { members: context.from.members }, needs: [need] };
        if (paged) return pageOne(context, params, roomId, { before: memory, after: gate.memory }, firstPage);
        return delta(context, params, roomId, gate.memory);
      }
    }
  },
};

/**
 * The need for a full list that is unknown. "wait": it was tried in this request and has not arrived, or it arrived after the position that the
 * streams are held back to (D19) and `pages` of it are asked for.
 */
export async function missingList(context: Context, roomId: RoomId, pages: boolean): Promise<Need | "wait" | null> {
  if ((await membersState(context.tx, context.account, roomId)) !== "complete") {
    const need: Need = { kind: "members", roomId };
    return context.tried.has(needKey(need)) ? "wait" : need;
  }
  return pages && (await membersLearnedAfter(context.tx, context.account, roomId, context.to)) ? "wait" : null;
}

/** @param asked the client asked for page one */
async function pageOne(
  context: Context,
  params: MembersParams,
  roomId: RoomId,
  { before, after }: MemoryChange,
  asked: boolean,
): Promise<Evaluation<"room_members">> {
  const cursors = { members: context.to };
  const page = await readPage(context, params, roomId, context.to, null);
  const hash = createHash("sha256")
    .update(canonicalJson([params, page.events.map((row) => row.event_id)]))
    .digest("base64url");
  const memory = { ...after, page: hash };
  // D16: the same page one as in this token's last answer is no news.
  if (asked && before?.page === hash) return { ...NO_NEWS, memory, cursors };
  return { answer: page, news: true, memory, cursors };
}

function withoutPage({ page: _page, ...memory }: Memory): Memory {
  return memory;
}

/** Changes since the token, at most `limit`; the next answer continues where these end. */
async function delta(context: Context, params: MembersParams, roomId: RoomId, memory: Memory): Promise<Evaluation<"room_members">> {
  const { sent, members } = await changes(context, params, roomId);
  if (sent.length === 0) return { ...NO_NEWS, memory, cursors: { members } };
  return { answer: { events: sent, p: negotiated(params) }, news: true, memory: withoutPage(memory), cursors: { members } };
}

/** The room was left (D18): changes up to then, limited as usual, and with the last of them the user's own leave. */
async function lastDelta(
  context: Context,
  params: MembersParams,
  roomId: RoomId,
  { before, after }: MemoryChange,
): Promise<Evaluation<"room_members">> {
  const { sent, members } = await changes(context, params, roomId);
  if (members < context.to) {
    return { answer: { events: sent, p: negotiated(params) }, news: true, memory: withoutPage(before ?? {}), cursors: { members } };
  }
  const own = await membersAt(context.tx, context.account, [{ roomId, userId: context.userId, at: context.to }]);
  const leave = own.filter((row) => row.membership !== "join" && !sent.some((event) => event.event_id === row.event_id));
  const answer = { events: [...sent, ...leave], p: negotiated(params), forbidden: true as const };
  return { answer, news: true, memory: withoutPage(after), cursors: { members } };
}

/** Events since the token's cursor, and the cursor after them. */
async function changes(context: Context, params: MembersParams, roomId: RoomId): Promise<{ sent: readonly MemberRow[]; members: Position }> {
  const rows = await memberChanges(context.tx, context.account, roomId, {
    from: context.from.members,
    to: context.to,
    membership: params.membership,
    limit: params.limit + 1,
  });
  const sent = rows.slice(0, params.limit);
  const last = sent.at(-1);
  return { sent, members: rows.length > params.limit && last ? (last.from_ord as Position) : context.to };
}

/**
 * A page of the members at position `at`, after the user `after` (null: page one).
 * Used by page requests (D14), and by the room stream for its first page of members.
 */
export async function readPage(
  context: Context,
  params: Pick<MembersParams, "membership" | "limit" | "sort">,
  roomId: RoomId,
  at: Position,
  after: string | null,
): Promise<MembersAnswer> {
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
  return { events: listed, p: negotiated(params, next) };
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

function negotiated({ limit, sort }: Pick<MembersParams, "limit" | "sort">, next?: string) {
  return { limit, sort, next };
}
