/** One evaluation of a request: what each stream has to tell now, read in one moment of the database (D19). */

import { readHead, readSessionPages } from "../store/sessions.ts";
import { readTx, type Sql } from "../store/db.ts";
import { STREAMS } from "../streams/registry.ts";
import type { ListMemory } from "../streams/room-list-answer.ts";
import { type Context, type Evaluation, type Need, NOTHING_TRACKED, type Places, type StreamKey } from "../streams/stream.ts";
import { toDeviceBound } from "../streams/to-device.ts";
import type { AccountNo, DeviceNo, Position } from "../wire/ids.ts";
import { type MergedRequest, memoryOf, selectionOf, type SessionState, type StreamState } from "./session-state.ts";
import { sealPageToken, type Signer, type SyncToken } from "./token.ts";

export type Question = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly token: SyncToken;
  readonly state: SessionState;
  readonly request: MergedRequest;
  /** See Context. */
  readonly tried: ReadonlySet<string>;
  readonly late: ReadonlySet<string>;
};

export type Outcome = {
  /** Stream → JSON text, in the order of the answer. */
  readonly parts: readonly (readonly [StreamKey, string])[];
  readonly news: boolean;
  /** To be fetched before this question can be answered whole. */
  readonly needs: readonly Need[];
  /** The places of the next token; its state is still to be numbered. */
  readonly places: Places & { readonly page: number };
  readonly state: SessionState;
  readonly snapshot: Evaluation["snapshot"];
  readonly complete: boolean;
};

/** Whether what a token asks for is (partly) deleted. The first token of a session asks for nothing old. */
export function isBehind(token: SyncToken, horizon: Position): boolean {
  return token.position > 0 && token.position < horizon;
}

/** @returns null where the session is gone, or its snapshot (R10, D10). */
export function evaluate(sql: Sql, sign: Signer, question: Question, now: number): Promise<Outcome | null> {
  return readTx(sql, async (tx) => {
    const { token } = question;
    const head = await readHead(tx, token.session);
    if (!head || isBehind(token, head.horizon)) return null;
    if (!head.complete) return waitingForFirst(question);
    const pages = await readSessionPages(tx, token.session, token.page, token.position);
    let context: Context = {
      tx,
      account: question.account,
      device: question.device,
      session: token.session,
      userId: head.userId,
      from: token,
      to: Math.max(head.position, token.position) as Position,
      deviceSeq: Math.max(head.deviceSeq, token.toDevice, token.e2ee),
      upstreamSince: head.upstreamSince,
      ignored: head.ignored,
      tracked: trackedBefore(question),
      pageRooms: pages.flatMap((page) => page.rooms.map((roomId) => ({ roomId, position: page.position }))),
      tried: question.tried,
      late: question.late,
      now,
      sealPage: (place) => sealPageToken({ ...place, session: token.session, position: context.to }, sign),
    };
    const parts: [StreamKey, string][] = [];
    const streams: Partial<Record<StreamKey, StreamState>> = {};
    const needs: Need[] = [];
    let news = false;
    let snapshot: Evaluation["snapshot"];
    let places: Partial<Places> = { members: context.to };
    for (const stream of STREAMS) {
      const raw = question.request.params[stream.key];
      if (!raw) continue;
      const params = stream.resolve(raw);
      const memory = memoryOf(question.state, stream, params);
      const evaluation = await stream.evaluate(context, params, memory, question.request.firstPages.has(stream.key));
      if (evaluation.text !== null) parts.push([stream.key, evaluation.text]);
      if (evaluation.memory) streams[stream.key] = { selection: selectionOf(stream, params), memory: evaluation.memory };
      if (evaluation.needs) needs.push(...evaluation.needs);
      if (evaluation.tracked) context = { ...context, tracked: evaluation.tracked };
      if (stream.key === "to_device") {
        const { to, deviceSeq } = await toDeviceBound(context, evaluation);
        context = { ...context, to, deviceSeq };
        places = { ...places, members: context.to };
      }
      snapshot ??= evaluation.snapshot;
      places = { ...places, ...evaluation.places };
      news ||= evaluation.news;
    }
    return {
      parts,
      news,
      needs,
      snapshot,
      complete: true,
      places: { ...token, ...places, position: context.to, page: pages.at(-1)?.page ?? token.page },
      state: { params: question.request.params, streams },
    };
  });
}

/** What the room list of the token tracked: what those that follow it still do, until it says otherwise. */
function trackedBefore({ state, request }: Question): Context["tracked"] {
  const memory = state.streams.room_list?.memory as Partial<ListMemory> | undefined;
  const active = memory?.children ?? memory?.sent;
  return request.params.room_list && active ? { ...NOTHING_TRACKED, kept: active } : NOTHING_TRACKED;
}

/** D23: nothing can be told before the first v2 answer is in; what was asked for is remembered. */
function waitingForFirst({ token, state, request }: Question): Outcome {
  return {
    parts: [],
    news: false,
    needs: [],
    snapshot: undefined,
    complete: false,
    places: token,
    state: { params: request.params, streams: state.streams },
  };
}
