/** Page requests (D14, D15, R18, R19): the next page of a snapshot, and nothing else. */

import { factsAt } from "../store/facts.ts";
import { readTx } from "../store/db.ts";
import { addSessionPage, findListSnapshot, readHead } from "../store/sessions.ts";
import { FORBIDDEN } from "../streams/gate.ts";
import { listAnswer, listLimit, negotiated } from "../streams/room-list-answer.ts";
import { roomList, wholeEntries } from "../streams/room-list.ts";
import { membersLimit, membersSort, readPage, roomMembers } from "../streams/room-members.ts";
import { type Context, NOTHING_TRACKED, type PageRequest, type StreamKey } from "../streams/stream.ts";
import { invalidParam, unknownSession } from "../wire/errors.ts";
import type { RoomId } from "../wire/ids.ts";
import type { EngineDeps, SyncRequest } from "./engine.ts";
import type { MergedRequest, SessionState } from "./session-state.ts";
import { openPageToken, type PageToken, sealPageToken, type SyncToken } from "./token.ts";

export type PagesQuestion = SyncRequest & {
  readonly since: string;
  readonly token: SyncToken;
  readonly state: SessionState;
  readonly request: MergedRequest;
};

type Page = { readonly key: StreamKey; readonly text: string; readonly rooms?: readonly RoomId[] };
type PageOf<Key> = Extract<PageToken, { stream: Key }>;

/**
 * The pages that a request names. Its `next` is the `since` it came with, and nothing of it is remembered but that the rooms
 * of a list page were sent.
 * @throws MatrixError 400 M_INVALID_PARAM for a token of another stream, room, session or snapshot, or of a snapshot that is gone.
 */
export async function answerPages(deps: EngineDeps, question: PagesQuestion): Promise<string> {
  const { token } = question;
  const pages = await readTx(deps.sql, async (tx) => {
    const head = await readHead(tx, token.session);
    if (!head) throw unknownSession();
    const context: Context = {
      tx, account: question.account, device: question.device, session: token.session, userId: head.userId,
      from: token, to: head.position, deviceSeq: head.deviceSeq, upstreamSince: head.upstreamSince, ignored: head.ignored,
      tracked: NOTHING_TRACKED, pageRooms: [], tried: new Set(), now: deps.now(),
      sealPage: (place) => sealPageToken({ ...place, session: token.session, position: positionOf(token, place.stream) }, deps.sign),
    };
    const answers: Page[] = [];
    for (const [key, page] of question.request.pages) answers.push(await answerPage(deps, context, question, key, page));
    return answers;
  });
  for (const page of pages) if (page.rooms && page.rooms.length > 0) await addSessionPage(deps.sql, token.session, token.position, page.rooms);
  const parts = pages.map((page) => `"${page.key}":${page.text}`);
  return `{${[...parts, `"next":${JSON.stringify(question.since)}`].join(",")}}`;
}

async function answerPage(deps: EngineDeps, context: Context, question: PagesQuestion, key: StreamKey, page: PageRequest): Promise<Page> {
  const place = openPageToken(page.since, deps.sign);
  if (!place || place.stream !== key || place.session !== question.token.session) throw unusable(key);
  if (place.position !== positionOf(question.token, key)) {
    throw invalidParam(`${key}.p.since goes with the \`since\` that it came with; ask for page "1" instead`);
  }
  return place.stream === "room_list" ? listPage(context, question, page, place) : membersPage(context, question, page, place);
}

async function listPage(context: Context, question: PagesQuestion, page: PageRequest, place: PageOf<"room_list">): Promise<Page> {
  const sticky = roomList.resolve(question.state.params.room_list ?? {}) as ReturnType<typeof roomList.resolve>;
  const params = page.limit === undefined ? sticky : { ...sticky, limit: listLimit(page.limit) };
  const ids = await findListSnapshot(context.tx, context.session, place.snapshot);
  if (!ids) throw unusable("room_list");
  const listed = ids.slice(place.offset, place.offset + params.limit);
  const facts = await factsAt(context.tx, context.account, listed, place.position);
  const rows = listed.flatMap((roomId) => facts.get(roomId) ?? []);
  const entries = await wholeEntries(context, rows, place.position, params);
  const offset = place.offset + listed.length;
  const next = offset < ids.length ? context.sealPage({ stream: "room_list", snapshot: place.snapshot, offset }) : undefined;
  return { key: "room_list", text: listAnswer({ entries, count: ids.length, p: negotiated(params, next) }), rooms: listed };
}

async function membersPage(context: Context, question: PagesQuestion, page: PageRequest, place: PageOf<"room_members">): Promise<Page> {
  const sticky = roomMembers.resolve(question.state.params.room_members ?? {}) as ReturnType<typeof roomMembers.resolve>;
  const rooms = [sticky.roomId, question.state.params.room?.["room_id"]];
  // A page of the room stream's members goes on here (S4), for a room that the token follows in either stream.
  if (!rooms.includes(place.roomId) && !rooms.includes("room_list")) throw unusable("room_members");
  const roomId = place.roomId as RoomId;
  const now = await factsAt(context.tx, context.account, [roomId], context.to);
  if (now.get(roomId)?.membership !== "join") return { key: "room_members", text: `{${FORBIDDEN}}` };
  const limit = page.limit === undefined ? sticky.limit : membersLimit(page.limit);
  const params = { membership: place.membership, limit, sort: membersSort(place.sort) };
  return { key: "room_members", text: (await readPage(context, params, roomId, place.position, place.after)).text };
}

/** The position whose snapshot a stream's pages walk through. */
function positionOf(token: SyncToken, stream: StreamKey) {
  return stream === "room_members" ? token.members : token.position;
}

function unusable(key: StreamKey) {
  return invalidParam(`${key}.p.since is not a page token of this session that can still be used; ask for page "1" instead`);
}
