/** PageAnswer requests (D14, D15, R18, R19): the next page of a snapshot, and nothing else. */

import { factsAt } from "../store/facts.ts";
import { readTx } from "../store/db.ts";
import { addSessionPage, findListSnapshot, readHead } from "../store/sessions.ts";
import type { AnswerPart, SyncAnswer } from "./streams/answers.ts";
import { listLimit, negotiated } from "./streams/room-list-answer.ts";
import { listSelection, roomList, roomsAt, wholeEntries } from "./streams/room-list.ts";
import { membersLimit, membersSort, readPage, roomMembers } from "./streams/room-members.ts";
import { spaceChildren } from "../sync/space-children.ts";
import type { StreamKey } from "./params.ts";
import type { Context, ListCaches, PageRequest } from "./streams/stream.ts";
import { invalidParam, unknownSession } from "../wire/errors.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import type { EngineDeps, SyncRequest } from "./request.ts";
import { unsealedContext } from "./context.ts";
import { isBehind } from "./evaluate.ts";
import type { MergedRequest, SessionState } from "./session-state.ts";
import { openPageToken, type PageToken, sealPageToken, type SyncToken } from "./token.ts";

export type PagesQuestion = SyncRequest & {
  readonly since: string;
  readonly token: SyncToken;
  readonly state: SessionState;
  readonly request: MergedRequest;
  readonly lists: ListCaches;
  readonly ownTokens: boolean;
};

/** `rooms`: those that it sends. */
type PageAnswer = { readonly part: AnswerPart; readonly rooms: readonly RoomId[] };
/** Pages go on in the snapshot of the page token that each came with. */
type Unsealed = Omit<Context, "sealPage">;
type PageOf<Key> = Extract<PageToken, { stream: Key }>;

/**
 * The pages that a request names. Its `next` is the `since` it came with, and nothing of it is remembered but that the rooms
 * of a list page were sent.
 * @throws MatrixError 400 M_INVALID_PARAM for a token of another stream, room, session or snapshot, or of a snapshot that is gone.
 */
export async function answerPages(deps: EngineDeps, question: PagesQuestion): Promise<SyncAnswer> {
  const { token } = question;
  const now = deps.now();
  const pages = await readTx(deps.sql, async (tx) => {
    const head = await readHead(tx, token.session);
    if (!head || isBehind(token, head.horizon)) throw unknownSession();
    const context: Unsealed = unsealedContext(tx, question, head, now);
    const answers: PageAnswer[] = [];
    for (const [key, page] of question.request.pages) answers.push(await answerPage(deps, context, question, key, page));
    return answers;
  });
  for (const { rooms } of pages) {
    if (rooms.length > 0 && !(await addSessionPage(deps.sql, token.session, token.position, rooms))) throw unknownSession();
  }
  return { parts: pages.map((page) => page.part), complete: true, next: question.since, now };
}

async function answerPage(deps: EngineDeps, unsealed: Unsealed, question: PagesQuestion, key: StreamKey, page: PageRequest): Promise<PageAnswer> {
  const place = openPageToken(page.since, deps.sign);
  if (!place || place.stream !== key || place.session !== question.token.session) throw unusable(key);
  if (!positionsOf(question.token, key).includes(place.position)) {
    throw invalidParam(`${key}.p.since goes with the \`since\` that it came with; ask for page "1" instead`);
  }
  const { session, position } = place;
  const context: Context = { ...unsealed, sealPage: (next) => sealPageToken({ ...next, session, position }, deps.sign) };
  return place.stream === "room_list" ? listPage(context, question, page, place) : membersPage(context, question, page, place);
}

async function listPage(context: Context, question: PagesQuestion, page: PageRequest, place: PageOf<"room_list">): Promise<PageAnswer> {
  const sticky = roomList.resolve(question.state.params.room_list ?? {});
  const params = page.limit === undefined ? sticky : { ...sticky, limit: listLimit(page.limit) };
  const selection = listSelection(sticky);
  const ids = selection === place.selection ? await findListSnapshot(context.tx, context.session, place.snapshot) : null;
  if (!ids) throw unusable("room_list");
  const listed = ids.slice(place.offset, place.offset + params.limit);
  const rooms = await roomsAt(context, listed, place.position);
  const children = params.spaces ? await spaceChildren(context, params.spaces, place.position) : undefined;
  const entries = await wholeEntries(context, rooms, place.position, params, children);
  const offset = place.offset + listed.length;
  const next = offset < ids.length ? context.sealPage({ stream: "room_list", selection, snapshot: place.snapshot, offset }) : undefined;
  return { part: { key: "room_list", answer: { entries, count: ids.length, p: negotiated(params, next) } }, rooms: listed };
}

async function membersPage(context: Context, question: PagesQuestion, page: PageRequest, place: PageOf<"room_members">): Promise<PageAnswer> {
  const sticky = roomMembers.resolve(question.state.params.room_members ?? {});
  const rooms = [sticky.roomId, question.state.params.room?.room_id];
  // A page of the room stream's members goes on here (S4), for a room that the token follows in either stream.
  if (!rooms.includes(place.roomId) && !rooms.includes("room_list")) throw unusable("room_members");
  const { roomId } = place;
  const now = await factsAt(context.tx, context.account, [roomId], context.to);
  if (now.get(roomId)?.membership !== "join") {
    return { part: { key: "room_members", answer: { forbidden: true } }, rooms: [] };
  }
  const limit = page.limit === undefined ? sticky.limit : membersLimit(page.limit);
  const params = { membership: place.membership, limit, sort: membersSort(place.sort) };
  return { part: { key: "room_members", answer: await readPage(context, params, roomId, place.position, place.after) }, rooms: [] };
}

/** The positions whose snapshots a stream's pages may walk through. Members lag where a limit split them; the room stream's do not. */
function positionsOf(token: SyncToken, stream: StreamKey): readonly Position[] {
  return stream === "room_members" ? [token.members, token.position] : [token.position];
}

function unusable(key: StreamKey) {
  return invalidParam(`${key}.p.since is not a page token of this session that can still be used; ask for page "1" instead`);
}
