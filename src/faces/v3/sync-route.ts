/** `POST /_matrix/client/v3/sync` (R1): from HTTP to the engine and back. */

import type { Engine } from "../../engine/engine.ts";
import { throughOutage } from "../../base/outage.ts";
import type { RoutePlugin } from "../route.ts";
import { sendJson } from "../send-json.ts";
import { readTimeout } from "../timeout.ts";
import { checkSyncRequest } from "./request-schema.ts";

const PATH = "/_matrix/client/v3/sync";

/** Adds the route. Query: `since` (R3), `timeout` (D6). Body: see request-schema.ts. */
export function syncRoute(engine: Engine): RoutePlugin {
  return (app, context) => {
    app.post(PATH, async (request, reply) => {
      const auth = await context.authenticate(request);
      const query = new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
      const timeout = readTimeout(query.get("timeout"));
      const body = checkSyncRequest(await context.readJsonBody(request));
      const asked = { account: auth.account, device: auth.device, tokenHash: auth.tokenHash, since: query.get("since"), body, timeout };
      const signal = context.signalOf(request);
      const answer = await throughOutage(() => engine.sync({ ...asked, signal }), signal);
      return sendJson(request, reply, answer);
    });
  };
}
