/** Page requests (D14, D15, R18, R19): the next page of a snapshot, and nothing else. */

import { factsAt } from "../store/facts.ts";
import { readTx } from "../store/db.ts";
import { addSessionPage, findListSnapshot, readHead } from "../store/sessions.ts";
import { type AnswerPart, type SyncAnswer, unknownHeroesIn } from "./streams/answers.ts";
import { listLimit, negotiated } from "./streams/room-list-answer.ts";
import { listSelection, roomList, roomsAt, fullEntries } from "./streams/room-list.ts";
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

/** `rooms`: the rooms that the page sends. */
type PageAnswer = { readonly part: AnswerPart; readonly rooms: readonly RoomId[] };
/** A page continues in the snapshot of the page token that came with it, so each one has its own seal. */
type Unsealed = Omit<Context, "sealPage">;
type PageOf<Key> = Extract<PageToken, { stream: Key }>;

/**
 * The pages that a request names. Its `next` is the `since` that it came with; all that is remembered is which rooms a list page sent.
 * @throws MatrixError 400 M_INVALID_PARAM for a token of another stream, room, session or snapshot, or of a snapshot that is gone.
 */
export async function answerPages(deps: EngineDeps, question: PagesQuestion): Promise<SyncAnswer> {
  const { token } = question;
  const now = deps.now();
  const pages = await readTx(deps.sql, async (tx) => {
    const head = await readHead(tx, token.session);
    if (!head || isBehind(token, head.horizon)) throw unknownSession();
    const context: Unsealed = unsealedContext(tx, { ...question, askBundles: deps.askBundles }, head, now);
    const answers: PageAnswer[] = [];
    for (const [key, page] of question.request.pages) answers.push(await answerPage(deps, context, question, key, page));
    return answers;
  });
  for (const { rooms } of pages) {
    if (rooms.length > 0 && !(await addSessionPage(deps.sql, token.session, token.position, rooms))) throw unknownSession();
  }
  const parts = pages.map((page) => page.part);
  deps.learnHeroes(question.account, unknownHeroesIn(parts));
  return { parts, complete: true, next: question.since, now };
}

async function answerPage(deps: EngineDeps, unsealed: Unsealed, question: PagesQuestion, key: StreamKey, page: PageRequest): Promise<PageAnswer> {
  const cursor = openPageToken(page.since, deps.sign);
  if (!cursor || cursor.stream !== key || cursor.session !== question.token.session) throw unusable(key);
  if (!positionsOf(question.token, key).includes(cursor.position)) {
    throw invalidParam(`${key}.p.since goes with the \`since\` that it came with; ask for page "1" instead`);
  }
  const { session, position } = cursor;
  const context: Context = { ...unsealed, sealPage: (next) => sealPageToken({ ...next, session, position }, deps.sign) };
  return cursor.stream === "room_list" ? listPage(context, question, page, cursor) : membersPage(context, question, page, cursor);
}

async function listPage(context: Context, question: PagesQuestion, page: PageRequest, cursor: PageOf<"room_list">): Promise<PageAnswer> {
  const sticky = roomList.resolve(question.state.params.room_list ?? {});
  const params = page.limit === undefined ? sticky : { ...sticky, limit: listLimit(page.limit) };
  const selection = listSelection(sticky);
  const ids = selection === cursor.selection ? await findListSnapshot(context.tx, context.session, cursor.snapshot) : null;
  if (!ids) throw unusable("room_list");
  const listed = ids.slice(cursor.offset, cursor.offset + params.limit);
  const rooms = await roomsAt(context, listed, cursor.position);
  const children = params.spaces ? await spaceChildren(context, params.spaces, cursor.position) : undefined;
  const entries = await fullEntries(context, rooms, cursor.position, params, children);
  const offset = cursor.offset + listed.length;
  const next = offset < ids.length ? context.sealPage({ stream: "room_list", selection, snapshot: cursor.snapshot, offset }) : undefined;
  return { part: { key: "room_list", answer: { entries, count: ids.length, p: negotiated(params, next) } }, rooms: listed };
}

async function membersPage(context: Context, question: PagesQuestion, page: PageRequest, cursor: PageOf<"room_members">): Promise<PageAnswer> {
  const sticky = roomMembers.resolve(question.state.params.room_members ?? {});
  const rooms = [sticky.roomId, question.state.params.room?.room_id];
  // Further pages of the room stream's members are fetched here (S4), for a room that the token follows in either stream.
  if (!rooms.includes(cursor.roomId) && !rooms.includes("room_list")) throw unusable("room_members");
  const { roomId } = cursor;
  const now = await factsAt(context.tx, context.account, [roomId], context.to);
  if (now.get(roomId)?.membership !== "join") {
    return { part: { key: "room_members", answer: { forbidden: true } }, rooms: [] };
  }
  const limit = page.limit === undefined ? sticky.limit : membersLimit(page.limit);
  const params = { membership: cursor.membership, limit, sort: membersSort(cursor.sort) };
  return { part: { key: "room_members", answer: await readPage(context, params, roomId, cursor.position, cursor.after) }, rooms: [] };
}

/**
 * The positions of the snapshots that a stream's page tokens may belong to. Members lag behind if a limit split their delta; the room stream's do
 * not.
 */
function positionsOf(token: SyncToken, stream: StreamKey): readonly Position[] {
  return stream === "room_members" ? [token.members, token.position] : [token.position];
}

function unusable(key: StreamKey) {
  return invalidParam(`${key}.p.since is not a page token of this session that can still be used; ask for page "1" instead`);
}
