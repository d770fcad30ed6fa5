/** `POST /_matrix/client/v3/sync` (R1): from HTTP to the engine and back. */

import Type from "typebox";
import type { Engine } from "../engine.ts";
import { syncRequestSchema } from "../params.ts";
import { throughOutage } from "../../base/outage.ts";
import { BODY_ERRORS, type Operation } from "../../http/openapi.ts";
import type { RoutePlugin } from "../../http/route.ts";
import { sendJson } from "../../http/send-json.ts";
import { readTimeout, timeoutSchema } from "../../http/timeout.ts";
import { syncAnswerSchema } from "./answer-schema.ts";
import { answerText } from "./answer-text.ts";
import { checkSyncRequest } from "./request-schema.ts";

const PATH = "/_matrix/client/v3/sync";

export const SYNC_OPERATION: Operation = {
  method: "post",
  path: PATH,
  summary: "Sync v3: what is new of each stream that the session asks for",
  query: { since: Type.String({ description: "`next` of the last answer; absent: a new session" }), timeout: timeoutSchema },
  body: syncRequestSchema,
  answer: syncAnswerSchema,
  errors: BODY_ERRORS,
};

/** Adds the route. Query: `since` (R3), `timeout` (D6). Body: see request-schema.ts. */
export function syncRoute(engine: Engine): RoutePlugin {
  return (app, context) => {
    app.post(PATH, async (request, reply) => {
      const auth = await context.authenticate(request);
      const query = new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
      const timeout = readTimeout(query.get("timeout"));
      const body = checkSyncRequest(await context.readJsonBody(request, auth.device));
      const asked = { account: auth.account, device: auth.device, tokenHash: auth.tokenHash, since: query.get("since"), body, timeout };
      const signal = context.signalOf(request);
      const answer = await throughOutage(() => engine.sync({ ...asked, signal }), signal);
      return sendJson(request, reply, await answerText(answer, auth.device));
    });
  };
}
