/** Simplified sliding sync over HTTP: `POST …/unstable/org.matrix.simplified_msc3575/sync` and `POST /_matrix/client/v4/sync` (MSC4186). */

import type { FastifyRequest } from "fastify";
import Type from "typebox";
import { throughOutage } from "../../base/outage.ts";
import type { SlidingEngine, SlidingReply, SlidingRequest } from "../sliding-engine.ts";
import { invalidParam, limitExceeded, MatrixError } from "../../wire/errors.ts";
import { isPresence, type Presence } from "../../wire/presence.ts";
import { BODY_ERRORS, type Operation } from "../../http/openapi.ts";
import type { Auth, RouteContext, RoutePlugin } from "../../http/route.ts";
import { sendJson } from "../../http/send-json.ts";
import { clampTimeout, readTimeout, timeoutSchema } from "../../http/timeout.ts";
import type { Dialect } from "../request.ts";
import { pagedAnswerSchema, unstableAnswerSchema, v4AnswerSchema } from "./answer-schemas.ts";
import { pagedAnswer } from "./paged-answer.ts";
import { PAGED_PATH, pagedSchema, readPagedRequest } from "./paged-request.ts";
import { unstableAnswer } from "./unstable-answer.ts";
import { readUnstableRequest, UNSTABLE_PATH, unstableSchema } from "./unstable-request.ts";
import { v4Answer } from "./v4-answer.ts";
import { readV4Request, v4Schema } from "./v4-request.ts";

const V4_PATH = "/_matrix/client/v4/sync";

/** While the homeserver cannot say who owns a new token, the client is asked to retry after this long, ms. */
const RETRY_MS = 2000;

export const SLIDING_OPERATIONS: readonly Operation[] = [
  {
    method: "post",
    path: UNSTABLE_PATH,
    summary: "Simplified sliding sync as clients speak it today",
    query: {
      pos: Type.String({ description: "`pos` of the last answer; absent: a connection begins from scratch" }),
      timeout: timeoutSchema,
      set_presence: Type.String({ description: "online, unavailable or offline; absent: the user's presence stays as it is" }),
    },
    body: unstableSchema,
    answer: unstableAnswerSchema,
    errors: BODY_ERRORS,
  },
  {
    method: "post",
    path: V4_PATH,
    summary: "Simplified sliding sync as MSC4186 has it",
    body: v4Schema,
    answer: v4AnswerSchema,
    errors: BODY_ERRORS,
  },
];

export const PAGED_OPERATION: Operation = {
  method: "post",
  path: PAGED_PATH,
  summary: "Paginated sync (MSC4525); served with -paginated-sync",
  body: pagedSchema,
  answer: pagedAnswerSchema,
  errors: BODY_ERRORS,
};

const UNSTABLE: Dialect = { counts: true, stubs: false };
const V4: Dialect = { counts: false, stubs: true };

function syncThroughOutage(engine: SlidingEngine, asked: SlidingRequest): Promise<SlidingReply> {
  return throughOutage(() => engine.sync(asked), asked.signal);
}

export function slidingRoutes(engine: SlidingEngine): RoutePlugin {
  return (app, context) => {
    const sync = (asked: SlidingRequest): Promise<SlidingReply> => syncThroughOutage(engine, asked);
    app.post(UNSTABLE_PATH, async (request, reply) => {
      if (await context.passInstead(request, reply)) return reply;
      const auth = await authenticate(context, request);
      const query = queryOf(request);
      const asked = readUnstableRequest(await context.readJsonBody(request, auth.device), auth);
      const answer = await sync({
        ...requester(auth),
        connId: asked.connId,
        // Some clients send these in the body, as the merged MSC has it.
        pos: query.get("pos") ?? asked.pos,
        timeout: query.has("timeout") ? readTimeout(query.get("timeout")) : clampTimeout(asked.timeout ?? 0),
        body: asked.body,
        dialect: UNSTABLE,
        // Native servers ignore what they do not know, and leave the user's presence as it is where nothing is said of it.
        presence: presenceOf(query.get("set_presence") ?? asked.presence),
        signal: context.signalOf(request),
      });
      return sendJson(request, reply, await unstableAnswer(answer, asked, auth.device));
    });
    app.post(V4_PATH, async (request, reply) => {
      const auth = await authenticate(context, request);
      const query = queryOf(request);
      const asked = readV4Request(await context.readJsonBody(request, auth.device), auth.device);
      const answer = await sync({
        ...requester(auth),
        connId: asked.connId,
        // Some clients send these in the query, as the older form has it.
        pos: asked.pos ?? query.get("pos"),
        timeout: asked.timeout === null ? readTimeout(query.get("timeout")) : clampTimeout(asked.timeout),
        body: asked.body,
        dialect: V4,
        presence: readPresence(asked.presence ?? query.get("set_presence")),
        signal: context.signalOf(request),
      });
      return sendJson(request, reply, await v4Answer(answer, asked.names, auth.device));
    });
  };
}

/** Paginated sync (MSC4525). */
export function pagedRoute(engine: SlidingEngine): RoutePlugin {
  return (app, context) => {
    app.post(PAGED_PATH, async (request, reply) => {
      const auth = await authenticate(context, request);
      const query = queryOf(request);
      const asked = readPagedRequest(await context.readJsonBody(request, auth.device), auth);
      const syncFrom = (pos: string | null) =>
        syncThroughOutage(engine, {
          ...requester(auth),
          // A connection of its own, whatever connections of the other dialects are called.
          connId: `org.matrix.msc4525 ${asked.connId}`,
          pos,
          timeout: asked.timeout === null ? readTimeout(query.get("timeout")) : clampTimeout(asked.timeout),
          body: asked.body,
          dialect: asked.names ? V4 : UNSTABLE,
          presence: readPresence(asked.presence),
          signal: context.signalOf(request),
        });
      const pos = asked.pos ?? query.get("pos");
      // A position that cannot be used (any more) is no error: the connection begins from scratch.
      const answer = await syncFrom(pos).catch((error: unknown) => {
        if (pos === null || !(error instanceof MatrixError && error.errcode === "M_UNKNOWN_POS")) throw error;
        return syncFrom(null);
      });
      return sendJson(request, reply, await pagedAnswer(answer, asked, auth.device));
    });
  };
}

function queryOf(request: FastifyRequest): URLSearchParams {
  return new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
}

/** null: nothing that is known. */
function presenceOf(text: string | null): Presence | null {
  return isPresence(text) ? text : null;
}

/** MSC4186: online where it is not said. @throws MatrixError 400 M_INVALID_PARAM */
function readPresence(text: string | null): Presence {
  const presence = presenceOf(text ?? "online");
  if (presence === null) throw invalidParam("set_presence must be online, offline or unavailable");
  return presence;
}

function requester({ account, device, tokenHash, head }: Auth) {
  return { account, device, tokenHash, head };
}

/** Clients take a 5xx of a sync for being offline, so trouble with the homeserver becomes a request to retry. */
async function authenticate(context: RouteContext, request: FastifyRequest): Promise<Auth> {
  try {
    return await context.authenticate(request);
  } catch (error) {
    if (error instanceof MatrixError && error.status === 502) throw limitExceeded(RETRY_MS, error.message);
    throw error;
  }
}
