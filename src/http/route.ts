/** What a face needs of the HTTP server to be a set of its routes. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ConnectionHead } from "../store/connections.ts";
import type { AccountNo, DeviceNo, UserId } from "../wire/ids.ts";

/** Who a request comes from, proven by its access token (D2). */
export type Auth = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  readonly deviceId: string;
  /** The access token itself: never to be logged or stored in the clear. */
  readonly token: string;
  /** HMAC-SHA-256 of it: the key of `tokens`. */
  readonly tokenHash: Buffer;
  /** How far account and device were as the token was looked up for this request; null: it was not. */
  readonly head: ConnectionHead | null;
};

export type RouteContext = {
  /**
   * Proves the request's access token and counts the request against its device's limit until it is answered.
   * Throws MatrixError: 401, 403, 429, 502 (D2, D4, D21).
   */
  authenticate(request: FastifyRequest): Promise<Auth>;
  /**
   * The request body (D5): `{}` where it is empty. Throws MatrixError: 400 M_NOT_JSON, 413 M_TOO_LARGE.
   * To be called once a request.
   */
  readJsonBody(request: FastifyRequest): Promise<unknown>;
  /**
   * Hands a request of ours to the homeserver where that has the same API itself and is to be preferred: true, and it is answered.
   * For simplified sliding sync's route, before `authenticate` and before the body is read.
   * Throws MatrixError 502.
   */
  passInstead(request: FastifyRequest, reply: FastifyReply): Promise<boolean>;
  /** Aborts when the client has gone before its answer was sent. */
  signalOf(request: FastifyRequest): AbortSignal;
  /** Aborts when the server begins to stop: what waits is to be answered now. */
  readonly stopping: AbortSignal;
};

/** Adds routes to the server. Errors that a handler throws are answered by the server: MatrixError as it says, others as 500. */
export type RoutePlugin = (app: FastifyInstance, context: RouteContext) => void;
