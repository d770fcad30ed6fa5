/** What a face needs from the HTTP server to add its routes. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ConnectionHead } from "../store/connections.ts";
import type { AccountNo, DeviceNo, UserId } from "../wire/ids.ts";

/** The owner of a request, proven by its access token (D2). */
export type Auth = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  readonly deviceId: string;
  /** The access token itself. Never log it, and never store it in the clear. */
  readonly token: string;
  /** HMAC-SHA-256 of it: the key of `tokens`. */
  readonly tokenHash: Buffer;
  /** The head that was read when the token was looked up for this request; null: it was not read. */
  readonly head: ConnectionHead | null;
};

export type RouteContext = {
  /**
   * Proves the request's access token, and counts the request against its device's limit until it is answered.
   * Throws MatrixError: 401, 403, 429, 502 (D2, D4, D21).
   */
  authenticate(request: FastifyRequest): Promise<Auth>;
  /**
   * The body (D5) of a request of that device: `{}` if it is empty. Throws MatrixError: 400 M_NOT_JSON, 413 M_TOO_LARGE.
   * May be called once per request.
   */
  readJsonBody(request: FastifyRequest, device: DeviceNo): Promise<unknown>;
  /**
   * Passes the request to the homeserver if that has the same API and is preferred; true: it is answered.
   * For the route of simplified sliding sync, before `authenticate` and before the body is read.
   * Throws MatrixError 502.
   */
  passInstead(request: FastifyRequest, reply: FastifyReply): Promise<boolean>;
  /** Aborts when the client disconnects before its answer is sent. */
  signalOf(request: FastifyRequest): AbortSignal;
  /** Aborts when the server begins to stop: waiting requests must be answered now. */
  readonly stopping: AbortSignal;
};

/** Adds routes to the server. The server answers errors that a handler throws: a MatrixError as it says, others with 500. */
export type RoutePlugin = (app: FastifyInstance, context: RouteContext) => void;
