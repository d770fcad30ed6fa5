/**
 * The threads of a room (`GET …/rooms/{roomId}/threads`, MSC3856) for homeservers that have `/messages` and `/relations` but no such list (M100).
 *
 * The list is in the order of the threads' latest events. So the room's history is walked backward: where an event is the latest one of its
 * thread, the thread is next in the list. A thread is therefore listed once, however many requests the walk takes, and nothing of it is stored.
 */

import { badGateway, limitExceeded, MatrixError } from "../wire/errors.ts";
import { isObject } from "../wire/identifier.ts";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import { isEventId } from "../wire/matrix-id.ts";
import { withMember, withObject } from "../wire/json-edit.ts";
import { eachElement, eachMember, JsonSyntaxError } from "../wire/json-scan.ts";
import { isUnrecognized } from "./endpoints.ts";
import { parsedObject } from "./json-answer.ts";
import { threadsToken, type ThreadsToken } from "../wire/threads-token.ts";

/** `text`: null if it cannot be read. */
type HomeserverAnswer = { readonly status: number; readonly text: string | null };
/** Asks the homeserver with the client's own access token. `path`: below `/_matrix/client`. */
export type AskHomeserver = (path: string, query: Readonly<Record<string, string>>) => Promise<HomeserverAnswer>;

export type ThreadsQuery = {
  readonly room: RoomId;
  /** null: from the newest. */
  readonly from: ThreadsToken | null;
  /** Most threads in the answer. */
  readonly limit: number;
  /** Only those that the user has taken part in. */
  readonly participated: boolean;
};

/** Whose list it is. Events of ignored users are left out. */
export type ThreadsReader = { readonly userId: UserId; readonly ignored: ReadonlySet<string> };

/** Events of a room's history that are read for one answer, and in one page. */
const MOST_EVENTS = 1000;
const PAGE = 100;
/** Threads in one answer, and if the client does not say. */
export const MOST_THREADS = 30;
export const DEFAULT_THREADS = 20;
/** Threads that are met in one answer, with those that were listed in an earlier one. */
const MOST_MET = 60;
/** Replies of one thread that are counted, in pages of what homeservers give at most. */
const REPLY_PAGES = 10;
const REPLY_PAGE = 50;

/** `thread`: the root of the thread that it is in. `isRelated`: it relates to another event, in whatever way. */
type HistoryEvent = {
  readonly id: EventId;
  readonly sender: string;
  readonly thread: EventId | null;
  readonly isRelated: boolean;
  readonly text: string;
};
/** Newest first. `start`, `next`: the tokens of this page and of the next one; null: there is none. */
type HistoryPage = { readonly events: readonly HistoryEvent[]; readonly start: string | null; readonly next: string | null };
type Thread = { readonly text: string; readonly participated: boolean };

/**
 * The answer's body. Without `next_batch` only if the walk has reached the beginning of what the user may see.
 * Throws MatrixError as the homeserver refuses, 429, or 502.
 */
export async function listThreads(ask: AskHomeserver, reader: ThreadsReader, query: ThreadsQuery): Promise<string> {
  try {
    return await walk(ask, reader, query);
  } catch (error) {
    if (error instanceof JsonSyntaxError || error instanceof SyntaxError) throw badGateway("The homeserver's answer is not JSON");
    throw error;
  }
}

async function walk(ask: AskHomeserver, reader: ThreadsReader, query: ThreadsQuery): Promise<string> {
  const { room, limit, participated } = query;
  const chunk: string[] = [];
  /** The newest replies of the threads that were met. */
  const met = new Map<EventId, HistoryPage>();
  const answer = (next: Omit<ThreadsToken, "room"> | null): string => {
    const token = next && `,"next_batch":${JSON.stringify(threadsToken({ room, ...next }))}`;
    return `{"chunk":[${chunk.join(",")}]${token ?? ""}}`;
  };
  let [from, after] = [query.from?.page ?? "", query.from?.after ?? null];
  for (let read = 0; read < MOST_EVENTS; read += PAGE) {
    const place: Readonly<Record<string, string>> = from === "" ? {} : { from };
    // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
    const page = await readPage(ask, `v3/rooms/${encodeURIComponent(room)}/messages`, { dir: "b", limit: String(PAGE), ...place }, "end");
    for (const event of behind(page.events, after)) {
      const { thread: root } = event;
      if (root === null || reader.ignored.has(event.sender)) continue;
      // oxlint-disable-next-line no-await-in-loop -- the list may be complete with this one
      const replies = met.get(root) ?? (await nextReplies(ask, reader, room, { root, from: null }));
      met.set(root, replies);
      // oxlint-disable-next-line no-await-in-loop -- as above
      const thread = replies.events[0]?.id === event.id ? await readThread(ask, reader, room, { root, replies }) : null;
      if (thread && (thread.participated || !participated)) chunk.push(thread.text);
      if (chunk.length === limit || met.size === MOST_MET) return answer({ page: from === "" ? (page.start ?? "") : from, after: event.id });
    }
    if (page.next === null || (page.next === from && page.events.length === 0)) return answer(null);
    [from, after] = [page.next, null];
  }
  return answer({ page: from, after });
}

/** All of them if the event is not there any more: a thread may be listed twice, but none is left out. */
function behind(events: readonly HistoryEvent[], after: EventId | null): readonly HistoryEvent[] {
  return events.slice(events.findIndex(({ id }) => id === after) + 1);
}

/** The next replies of a thread, at least one if there is any. */
async function nextReplies(
  ask: AskHomeserver,
  { ignored }: ThreadsReader,
  room: RoomId,
  thread: { readonly root: EventId; readonly from: string | null },
): Promise<HistoryPage> {
  const path = `v1/rooms/${encodeURIComponent(room)}/relations/${encodeURIComponent(thread.root)}/m.thread`;
  let { from } = thread;
  for (let pages = 1; ; pages += 1) {
    const place: Readonly<Record<string, string>> = from === null ? {} : { from };
    // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
    const page = await readPage(ask, path, { limit: String(REPLY_PAGE), ...place }, "next_batch", isWithheld);
    const events = page.events.filter((event) => event.thread === thread.root && !ignored.has(event.sender));
    const next = page.next === from ? null : page.next;
    if (events.length > 0 || next === null || pages === REPLY_PAGES) return { events, start: page.start, next };
    from = next;
  }
}

/** The root with its thread bundled; null: the user may not see the root. */
async function readThread(
  ask: AskHomeserver,
  reader: ThreadsReader,
  room: RoomId,
  { root, replies }: { readonly root: EventId; readonly replies: HistoryPage },
): Promise<Thread | null> {
  const event = await readRoot(ask, room, root);
  if (!event || reader.ignored.has(event.sender)) return null;
  const all = [...replies.events];
  let { next } = replies;
  for (let pages = 1; next !== null && pages < REPLY_PAGES; pages += 1) {
    // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
    const page: HistoryPage = await nextReplies(ask, reader, room, { root, from: next });
    all.push(...page.events);
    next = page.next;
  }
  const participated = [event, ...all].some(({ sender }) => sender === reader.userId);
  const bundle = `{"latest_event":${all[0]?.text},"count":${all.length},"current_user_participated":${participated}}`;
  const text = withObject(event.text, "unsigned", (unsigned) =>
    withObject(unsigned, "m.relations", (relations) => withMember(relations, "m.thread", () => bundle)),
  );
  return { text, participated };
}

/** null: the user may not see it, or it relates to another event itself, and so is no root. */
async function readRoot(ask: AskHomeserver, room: RoomId, root: EventId): Promise<HistoryEvent | null> {
  const answer = await ask(`v3/rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(root)}`, {});
  const event = isWithheld(answer) ? null : eventOf(textOf(answer).trim());
  return event?.isRelated === false ? event : null;
}

/** `isEmpty`: which refusals stand for an empty page. Default: none. */
async function readPage(
  ask: AskHomeserver,
  path: string,
  query: Readonly<Record<string, string>>,
  nextKey: string,
  isEmpty: (answer: HomeserverAnswer) => boolean = () => false,
): Promise<HistoryPage> {
  const answer = await ask(path, query);
  if (isEmpty(answer)) return { events: [], start: null, next: null };
  const text = textOf(answer);
  const events: HistoryEvent[] = [];
  const tokens = new Map<string, string>();
  eachMember(text, 0, (name, start, stop) => {
    if (name === "chunk" && text[start] === "[") {
      eachElement(text, start, (begin, end) => {
        const event = eventOf(text.slice(begin, end));
        if (event) events.push(event);
      });
    } else if (name === "start" || name === nextKey) {
      const value: unknown = JSON.parse(text.slice(start, stop));
      if (typeof value === "string" && value !== "") tokens.set(name, value);
    }
  });
  return { events, start: tokens.get("start") ?? null, next: tokens.get(nextKey) ?? null };
}

/** null: it is no event. */
function eventOf(text: string): HistoryEvent | null {
  const event: unknown = JSON.parse(text);
  if (!isObject(event) || typeof event["event_id"] !== "string" || typeof event["sender"] !== "string") return null;
  const content = isObject(event["content"]) ? event["content"] : {};
  const relation = isObject(content["m.relates_to"]) ? content["m.relates_to"] : {};
  const { rel_type: type, event_id: parent } = relation;
  const thread = type === "m.thread" && isEventId(parent) ? parent : null;
  return { id: event["event_id"] as EventId, sender: event["sender"], thread, isRelated: typeof type === "string", text };
}

/** Whether it refuses what was asked about: any member of a room can name a root that is not there, or not for this user. */
function isWithheld({ status, text }: HomeserverAnswer): boolean {
  return (status === 400 || status === 403 || status === 404) && !isUnrecognized(status, text ?? "");
}

/** Throws MatrixError for any answer but a 200. */
function textOf({ status, text }: HomeserverAnswer): string {
  if (status === 200 && text !== null) return text;
  const { errcode, error, retry_after_ms: retryAfterMs } = parsedObject(text ?? "");
  if (status === 429) throw limitExceeded(typeof retryAfterMs === "number" ? retryAfterMs : 1000, "The homeserver asks to wait");
  if (status < 400 || status >= 500) throw badGateway(`The homeserver answered with ${status}`);
  throw new MatrixError(status, typeof errcode === "string" ? errcode : "M_UNKNOWN", typeof error === "string" ? error : "The homeserver refuses");
}
