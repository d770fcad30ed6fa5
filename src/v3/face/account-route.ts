/** How far the server is with an account: `GET …/syncv3/account`. The first sync of a large account takes a homeserver minutes. */

import Type from "typebox";
import type { AccountStatus } from "../../store/account-status.ts";
import { unknownToken } from "../../wire/errors.ts";
import type { AccountNo } from "../../wire/ids.ts";
import { AUTH_ERRORS, type Operation } from "../../http/openapi.ts";
import type { RoutePlugin } from "../../http/route.ts";

const PATH = "/_matrix/client/unstable/syncv3/account";

export const accountAnswerSchema = Type.Object({
  state: Type.Union([Type.Literal("first_sync"), Type.Literal("synced")], {
    description: "first_sync: the homeserver's first answer is not stored yet",
  }),
  since_ts: Type.Integer({ minimum: 0, description: "When the account was first seen here, ms since 1970" }),
  rooms: Type.Integer({ minimum: 0, description: "Rooms of which something is stored" }),
  rooms_left: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: "Rooms that are still to be read one by one, since the homeserver's answer was too large; absent: none",
    }),
  ),
  trouble: Type.Optional(
    Type.Object(
      {
        reason: Type.String({ description: "unreachable, timed_out, rate_limited, locked, rejected, too_large, content, …" }),
        since_ts: Type.Integer({ minimum: 0, description: "ms since 1970" }),
      },
      { description: "The account does not advance, as its polls fail; absent: they do not" },
    ),
  ),
  received_bytes: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: "Of the homeserver's first answer, so far; absent where another process asks for it, or nobody does just now",
    }),
  ),
});

export const ACCOUNT_OPERATION: Operation = {
  method: "get",
  path: PATH,
  summary: "How far the server is with the account",
  answer: accountAnswerSchema,
  errors: AUTH_ERRORS,
};

/**
 * @param statusOf null: the account is not stored any more
 * @param receivedOf bytes received of an account's first response; null: this process does not request it
 */
export function accountRoute(
  statusOf: (account: AccountNo) => Promise<AccountStatus | null>,
  receivedOf: (account: AccountNo) => number | null,
): RoutePlugin {
  return (app, context) => {
    app.get(PATH, async (request) => {
      const { account } = await context.authenticate(request);
      const status = await statusOf(account);
      if (!status) throw unknownToken();
      const received = status.complete ? null : receivedOf(account);
      return {
        state: status.complete ? "synced" : "first_sync",
        since_ts: status.created_at.getTime(),
        rooms: status.rooms,
        ...(status.trouble && { trouble: { reason: status.trouble.reason, since_ts: status.trouble.since.getTime() } }),
        ...(status.left > 0 && { rooms_left: status.left }),
        ...(received !== null && { received_bytes: received }),
      };
    });
  };
}
