/** One evaluation of a request: what each stream has to send, read at one moment of the database (D19). */

import { traced } from "../base/tracing.ts";
import { readHead, readSessionPages } from "../store/sessions.ts";
import { readTx, type Sql, type Tx } from "../store/db.ts";
import type { AnswerPart, SyncAnswer } from "./streams/answers.ts";
import { FOLLOWING_STREAMS, LEADING_STREAMS } from "./streams/registry.ts";
import { type Need } from "../sync/fetch-need.ts";
import type { StreamKey } from "./params.ts";
import { type AnyStream, type Context, type Evaluation, NOTHING_TRACKED, type Cursors } from "./streams/stream.ts";
import { toDeviceBound } from "./streams/to-device.ts";
import type { Position } from "../wire/ids.ts";
import { type Requester, unsealedContext } from "./context.ts";
import { type MergedRequest, memoryOf, selectionOf, type SessionState, type StreamState } from "./session-state.ts";
import type { Signer } from "../sync/sealed-token.ts";
import { sealPageToken, type SyncToken } from "./token.ts";

export type Question = Requester & {
  readonly state: SessionState;
  readonly request: MergedRequest;
  /** See Context. */
  readonly tried: ReadonlySet<string>;
  readonly late: ReadonlySet<string>;
};

export type Outcome = Omit<SyncAnswer, "next"> & {
  readonly news: boolean;
  /** To be fetched before the question can be answered in full. */
  readonly needs: readonly Need[];
  /** The cursors of the next token. Its state has no number yet. */
  readonly cursors: Cursors & { readonly page: number };
  readonly state: SessionState;
  readonly snapshot: Evaluation["snapshot"];
};

/** Whether some of what a token asks for is deleted already. The first token of a session asks for nothing old. */
export function isBehind(token: SyncToken, horizon: Position): boolean {
  return token.position > 0 && Math.min(token.position, token.feed) < horizon;
}

/** @returns null if the session or its snapshot is gone (R10, D10) */
export function evaluate(sql: Sql, sign: Signer, question: Question, now: number): Promise<Outcome | null> {
  const evaluateAt = async (tx: Tx): Promise<Outcome | null> => {
    const { token } = question;
    const [head, pages] = await Promise.all([readHead(tx, token.session), readSessionPages(tx, token.session, token.page, token.position)]);
    if (!head || isBehind(token, head.horizon)) return null;
    if (!head.complete) return waitingForFirst(question, now);
    let context: Context = {
      ...unsealedContext(tx, question, head, now),
      tracked: trackedBefore(question),
      pageRooms: pages.flatMap((page) => page.rooms.map((roomId) => ({ roomId, position: page.position }))),
      tried: question.tried,
      late: question.late,
      sealPage: (cursor) => sealPageToken({ ...cursor, session: token.session, position: context.to }, sign),
    };
    const evaluateStream = async (stream: AnyStream): Promise<StreamResult[]> => {
      const raw = question.request.params[stream.key];
      if (!raw) return [];
      const params = stream.resolve(raw);
      const selection = selectionOf(stream, params);
      const memory = memoryOf(question.state, stream.key, selection);
      const evaluation = await stream.evaluate(context, params, memory, question.request.firstPages.has(stream.key));
      return [{ key: stream.key, selection, evaluation }];
    };
    const sent: StreamResult[] = [];
    for (const stream of LEADING_STREAMS) {
      for (const one of await evaluateStream(stream)) {
        if (stream.key === "to_device") context = { ...context, ...(await toDeviceBound(context, one.evaluation)) };
        if (one.evaluation.tracked) context = { ...context, tracked: one.evaluation.tracked };
        sent.push(one);
      }
    }
    // Concurrently, so that their queries are pipelined.
    sent.push(...(await Promise.all(FOLLOWING_STREAMS.map(evaluateStream))).flat());
    return outcomeOf(sent, question, now, {
      ...token,
      position: context.to,
      members: context.to,
      feed: context.to,
      page: pages.at(-1)?.page ?? token.page,
    });
  };
  return traced("evaluate", () => readTx(sql, evaluateAt));
}

/** What one stream has to send. */
type StreamResult = { readonly key: StreamKey; readonly selection: string; readonly evaluation: Evaluation };

/** @param cursors of the streams that set none themselves */
function outcomeOf(sent: readonly StreamResult[], { request }: Question, now: number, cursors: Outcome["cursors"]): Outcome {
  const streams = sent.flatMap(({ key, selection, evaluation: { memory } }) => (memory ? [[key, { selection, memory } satisfies StreamState]] : []));
  return {
    parts: sent.flatMap(({ key, evaluation: { answer } }) => (answer === null ? [] : [{ key, answer } as AnswerPart])),
    news: sent.some(({ evaluation }) => evaluation.news),
    needs: sent.flatMap(({ evaluation }) => evaluation.needs ?? []),
    snapshot: sent.find(({ evaluation }) => evaluation.snapshot)?.evaluation.snapshot,
    complete: true,
    now,
    cursors: Object.assign({}, cursors, ...sent.map(({ evaluation }) => evaluation.cursors)),
    state: { params: request.params, streams: Object.fromEntries(streams) },
  };
}

/** What the room list of the token tracked. Streams that follow the list still do, until it says otherwise. */
function trackedBefore({ state, request }: Question): Context["tracked"] {
  const memory = state.streams.room_list?.memory;
  const active = memory?.children ?? memory?.sent;
  return request.params.room_list && active ? { ...NOTHING_TRACKED, staying: active } : NOTHING_TRACKED;
}

/** D23: nothing can be sent before the first v2 response is stored; the parameters are remembered. */
function waitingForFirst({ token, state, request }: Question, now: number): Outcome {
  return {
    parts: [],
    news: false,
    needs: [],
    snapshot: undefined,
    complete: false,
    now,
    cursors: token,
    state: { params: request.params, streams: state.streams },
  };
}
