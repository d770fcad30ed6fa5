/** The device's own sessions (D20): `GET …/syncv3/sessions` lists them, `DELETE …/syncv3/sessions/{id}` ends one. */

import Type from "typebox";
import type { SessionRow } from "../../store/session-list.ts";
import { notFound } from "../../wire/errors.ts";
import type { AccountNo, DeviceNo, SessionNo } from "../../wire/ids.ts";
import { AUTH_ERRORS, type Operation } from "../../http/openapi.ts";
import type { RoutePlugin } from "../../http/route.ts";

const PATH = "/_matrix/client/unstable/syncv3/sessions";

/** Times are ms since 1970; `position` is opaque but for its order; `to_device_held` counts messages stored until this session has them. */
function toWire(row: SessionRow): Record<string, unknown> {
  return {
    id: String(row.session),
    kind: row.kind,
    created_ts: row.created_at.getTime(),
    last_used_ts: row.used_at.getTime(),
    position: row.position,
    to_device_held: row.held,
  };
}

const ms = Type.Integer({ minimum: 0 });

export const sessionsAnswerSchema = Type.Object({
  sessions: Type.Array(
    Type.Object({
      id: Type.String(),
      kind: Type.String({ description: "v3, v2, connection, or sliding (all connections, as they take part in the purge)" }),
      created_ts: ms,
      last_used_ts: ms,
      position: Type.Integer(),
      to_device_held: Type.Integer({ minimum: 0, description: "Messages stored until this session has them" }),
    }),
  ),
});

export const SESSIONS_OPERATIONS: readonly Operation[] = [
  {
    method: "get",
    path: PATH,
    summary: "The sessions of the access token's device",
    answer: sessionsAnswerSchema,
    errors: AUTH_ERRORS,
  },
  { method: "delete", path: `${PATH}/{id}`, summary: "Ends one of them", answer: Type.Object({}), errors: [404, ...AUTH_ERRORS] },
];

/** The sessions of a device. */
export type SessionStore = {
  /** Oldest first. */
  list(device: DeviceNo): Promise<readonly SessionRow[]>;
  /** Ends one; requests that wait with it, in any process, are answered at once (T18). False: it is not the device's. */
  end(account: AccountNo, device: DeviceNo, session: SessionNo): Promise<boolean>;
};

export function sessionsRoute(sessions: SessionStore): RoutePlugin {
  return (app, context) => {
    app.get(PATH, async (request) => {
      const { device } = await context.authenticate(request);
      return { sessions: (await sessions.list(device)).map(toWire) };
    });
    app.delete<{ Params: { id: string } }>(`${PATH}/:id`, async (request) => {
      const { account, device } = await context.authenticate(request);
      const session = Number(request.params.id);
      const isId = /^\d+$/.test(request.params.id) && Number.isSafeInteger(session);
      // Another device's session gets the same answer as an unknown one, so that nothing leaks.
      const ended = isId && (await sessions.end(account, device, session as SessionNo));
      if (!ended) throw notFound("Session unknown");
      return {};
    });
  };
}
