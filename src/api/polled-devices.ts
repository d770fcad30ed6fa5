/**
 * Whether a passed request belongs to a device that is polled here. Such a device must not read to-device messages from the homeserver directly
 * (D1, T19).
 */

import type { FastifyRequest } from "fastify";
import { MatrixError } from "../wire/errors.ts";
import { bearerToken, type Authenticator, type Identity } from "./auth.ts";
import type { DeviceRef, PassQueue } from "./ports.ts";

export type PolledDevice = { readonly token: string; readonly identity: Identity; readonly ref: DeviceRef };

export class PolledDevices {
  readonly #auth: Pick<Authenticator, "identify">;
  readonly #queue: Pick<PassQueue, "polledDevice">;

  constructor(auth: Pick<Authenticator, "identify">, queue: Pick<PassQueue, "polledDevice">) {
    this.#auth = auth;
    this.#queue = queue;
  }

  /** The polled device that a request belongs to. Null: it is another device, or that cannot be said now. */
  async find(request: FastifyRequest): Promise<PolledDevice | null> {
    const query = new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
    const token = givenToken(request, query);
    // With user_id an application service acts for somebody, so the token does not say for which device.
    const identity = token === null || query.has("user_id") ? null : await this.#auth.identify(token);
    const ref = identity && (await this.#queue.polledDevice(identity.userId, identity.deviceId));
    return token !== null && identity && ref ? { token, identity, ref } : null;
  }

  /**
   * Lets a sliding sync request pass to the homeserver, unless its device is polled here: two readers would take the device's messages from each
   * other. @throws MatrixError 404 M_UNRECOGNIZED, which clients take for an endpoint that the server does not have
   */
  async refuse(request: FastifyRequest): Promise<void> {
    if (!(await this.find(request))) return;
    throw new MatrixError(
      404,
      "M_UNRECOGNIZED",
      "The homeserver's own sliding sync is not served to a device that syncs through this server already: both would take its to-device messages from each other. Use /_matrix/client/v4/sync, /_matrix/client/unstable/org.matrix.simplified_msc3575/sync or /_matrix/client/v3/sync",
    );
  }
}

/** The access token of a passed request. It may be in the query; the homeserver decides whether it accepts that. */
export function givenToken(request: FastifyRequest, query: URLSearchParams): string | null {
  return bearerToken(request.headers.authorization) ?? query.get("access_token");
}
