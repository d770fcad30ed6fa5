/** `POST /_matrix/client/v3/sync` (R1): from HTTP to the engine and back. */

import type { Engine } from "../../engine/engine.ts";
import { invalidParam } from "../../wire/errors.ts";
import type { RoutePlugin } from "../route.ts";
import { checkSyncRequest } from "./request-schema.ts";

const PATH = "/_matrix/client/v3/sync";
/** D6, ms. */
const MAX_TIMEOUT = 300_000;

/** Adds the route. Query: `since` (R3), `timeout` (D6). Body: see request-schema.ts. */
export function syncRoute(engine: Engine): RoutePlugin {
  return (app, context) => {
    app.post(PATH, async (request, reply) => {
      const auth = await context.authenticate(request);
      const query = new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
      const timeout = readTimeout(query.get("timeout"));
      const body = checkSyncRequest(await context.readJsonBody(request));
      const answer = await engine.sync({
        account: auth.account,
        device: auth.device,
        tokenHash: auth.tokenHash,
        since: query.get("since"),
        body,
        timeout,
        signal: context.signalOf(request),
      });
      return reply.type("application/json").send(answer);
    });
  };
}

/** D6: milliseconds, at most 300 000; absent is 0. */
function readTimeout(text: string | null): number {
  if (text === null) return 0;
  if (!/^\d+$/.test(text)) throw invalidParam("timeout must be a number of milliseconds, 0 or more");
  return Math.min(Number(text), MAX_TIMEOUT);
}
