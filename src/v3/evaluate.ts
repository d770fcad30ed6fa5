/** One evaluation of a request: what each stream has to tell now, read in one moment of the database (D19). */

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
  /** To be fetched before this question can be answered whole. */
  readonly needs: readonly Need[];
  /** The places of the next token; its state is still to be numbered. */
  readonly places: Cursors & { readonly page: number };
  readonly state: SessionState;
  readonly snapshot: Evaluation["snapshot"];
};

/** Whether what a token asks for is (partly) deleted. The first token of a session asks for nothing old. */
export function isBehind(token: SyncToken, horizon: Position): boolean {
  return token.position > 0 && token.position < horizon;
}

/** @returns null where the session is gone, or its snapshot (R10, D10). */
export function evaluate(sql: Sql, sign: Signer, question: Question, now: number): Promise<Outcome | null> {
  const look = async (tx: Tx): Promise<Outcome | null> => {
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
      sealPage: (place) => sealPageToken({ ...place, session: token.session, position: context.to }, sign),
    };
    const tell = async (stream: AnyStream): Promise<StreamResult[]> => {
      const raw = question.request.params[stream.key];
      if (!raw) return [];
      const params = stream.resolve(raw);
      const selection = selectionOf(stream, params);
      const memory = memoryOf(question.state, stream.key, selection);
      const evaluation = await stream.evaluate(context, params, memory, question.request.firstPages.has(stream.key));
      return [{ key: stream.key, selection, evaluation }];
    };
    const told: StreamResult[] = [];
    for (const stream of LEADING_STREAMS) {
      for (const one of await tell(stream)) {
        if (stream.key === "to_device") context = { ...context, ...(await toDeviceBound(context, one.evaluation)) };
        if (one.evaluation.tracked) context = { ...context, tracked: one.evaluation.tracked };
        told.push(one);
      }
    }
    // Together: their queries go out without waiting for each other's answers.
    told.push(...(await Promise.all(FOLLOWING_STREAMS.map(tell))).flat());
    return outcomeOf(told, question, now, { ...token, position: context.to, members: context.to, page: pages.at(-1)?.page ?? token.page });
  };
  return traced("evaluate", () => readTx(sql, look));
}

/** What a stream had to tell. */
type StreamResult = { readonly key: StreamKey; readonly selection: string; readonly evaluation: Evaluation };

/** `places`: of the streams that say nothing of their own. */
function outcomeOf(told: readonly StreamResult[], { request }: Question, now: number, places: Outcome["places"]): Outcome {
  const streams = told.flatMap(({ key, selection, evaluation: { memory } }) => (memory ? [[key, { selection, memory } satisfies StreamState]] : []));
  return {
    parts: told.flatMap(({ key, evaluation: { answer } }) => (answer === null ? [] : [{ key, answer } as AnswerPart])),
    news: told.some(({ evaluation }) => evaluation.news),
    needs: told.flatMap(({ evaluation }) => evaluation.needs ?? []),
    snapshot: told.find(({ evaluation }) => evaluation.snapshot)?.evaluation.snapshot,
    complete: true,
    now,
    places: Object.assign({}, places, ...told.map(({ evaluation }) => evaluation.places)),
    state: { params: request.params, streams: Object.fromEntries(streams) },
  };
}

/** What the room list of the token tracked: what those that follow it still do, until it says otherwise. */
function trackedBefore({ state, request }: Question): Context["tracked"] {
  const memory = state.streams.room_list?.memory;
  const active = memory?.children ?? memory?.sent;
  return request.params.room_list && active ? { ...NOTHING_TRACKED, kept: active } : NOTHING_TRACKED;
}

/** D23: nothing can be told before the first v2 answer is in; what was asked for is remembered. */
function waitingForFirst({ token, state, request }: Question, now: number): Outcome {
  return {
    parts: [],
    news: false,
    needs: [],
    snapshot: undefined,
    complete: false,
    now,
    places: token,
    state: { params: request.params, streams: state.streams },
  };
}
