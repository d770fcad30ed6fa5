/** Answers requests for endpoints that the homeserver lacks, where what is stored or can be asked is enough (M98 to M100). */

import type { FastifyReply, FastifyRequest } from "fastify";
import { sendJson } from "../http/send-json.ts";
import { invalidParam } from "../wire/errors.ts";
import type { AccountNo, DeviceNo, RoomId } from "../wire/ids.ts";
import { isRoomId } from "../wire/matrix-id.ts";
import { roomSummary } from "../wire/room-summary.ts";
import { readThreadsToken } from "../wire/threads-token.ts";
import type { Authenticator, Proven } from "./auth.ts";
import { type Endpoint, HomeserverEndpoints } from "./endpoints.ts";
import { editableRequest, parsedObject, type ReadLimits, readText } from "./json-answer.ts";
import { credentialsIn, queryValue } from "./paging-request.ts";
import type { Forwarder } from "./pass-through.ts";
import { givenToken } from "./polled-devices.ts";
import type { DeviceRef, RoomStore } from "./ports.ts";
import { type AskHomeserver, DEFAULT_THREADS, listThreads, MOST_THREADS } from "./thread-list.ts";

export type MissingEndpointsDeps = {
  readonly auth: Pick<Authenticator, "verify">;
  readonly forwarder: Pick<Forwarder, "open">;
  readonly rooms: RoomStore;
  /** Counts a request against its device's limit. Throws MatrixError 429. */
  readonly count: (request: FastifyRequest, device: DeviceNo) => void;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
};

/** `whose`: the device that asks; null: it is not known here. `signal` aborts when the client disconnects. */
export type EndpointRequest = {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly signal: AbortSignal;
  readonly whose: () => Promise<DeviceRef | null>;
};

/** Enough for a page of 100 large events. */
const PAGE_LIMITS: ReadLimits = { bytes: 32 * 1024 * 1024, unpacked: 64 * 1024 * 1024 };

export class MissingEndpoints {
  readonly #deps: MissingEndpointsDeps;
  readonly #endpoints: HomeserverEndpoints;

  constructor(deps: MissingEndpointsDeps) {
    this.#deps = deps;
    this.#endpoints = new HomeserverEndpoints(deps);
  }

  /**
   * True: the request is answered. False: it is the homeserver's to answer, since it has the endpoint, or what is asked about is not known here.
   * Throws MatrixError: 400, as the homeserver refuses, 429, 502.
   */
  async answer(asked: EndpointRequest, endpoint: Endpoint): Promise<boolean> {
    const { request, reply, signal, whose } = asked;
    const token = givenToken(request, new URLSearchParams(request.raw.url?.split("?").slice(1).join("?")));
    if (token === null || !(await whose())) return false;
    if (await this.#endpoints.has(endpoint, request, signal)) return false;
    const who = await this.#deps.auth.verify(token);
    this.#deps.count(request, who.device);
    const text =
      endpoint.kind === "summary" ? await this.#summary(asked, who.account, endpoint.room) : await this.#threads(asked, who, endpoint.room);
    if (text === null) return false;
    await sendJson(request, reply, text);
    return true;
  }

  /** null: the room is none of the user's. */
  async #summary(asked: EndpointRequest, account: AccountNo, idOrAlias: string): Promise<string | null> {
    const room = idOrAlias.startsWith("#") ? await this.#resolve(asked, idOrAlias) : idOrAlias;
    const parts = isRoomId(room) ? await this.#deps.rooms.summary(account, room) : null;
    return parts && JSON.stringify(roomSummary(parts));
  }

  /** The room of an alias, as the homeserver says; undefined: it does not know it. */
  async #resolve(asked: EndpointRequest, alias: string): Promise<unknown> {
    const { status, text } = await this.#asking(asked)(`v3/directory/room/${encodeURIComponent(alias)}`, {});
    return status === 200 ? parsedObject(text ?? "")["room_id"] : undefined;
  }

  async #threads(asked: EndpointRequest, { account, userId }: Proven, room: RoomId): Promise<string> {
    const target = asked.request.raw.url ?? "";
    const [limit, include, from] = [queryValue(target, "limit"), queryValue(target, "include") ?? "all", queryValue(target, "from")];
    if (limit !== null && !/^0*[1-9]\d*$/.test(limit)) throw invalidParam("limit: a positive integer is expected");
    if (include !== "all" && include !== "participated") throw invalidParam('include: "all" or "participated" is expected');
    const token = from === null ? null : readThreadsToken(from);
    if (from !== null && token?.room !== room) throw invalidParam("from: this pagination token is not one of this list");
    const ignored = new Set<string>(await this.#deps.rooms.ignored(account));
    return listThreads(
      this.#asking(asked),
      { userId, ignored },
      {
        room,
        from: token,
        limit: Math.min(limit === null ? DEFAULT_THREADS : Number(limit), MOST_THREADS),
        participated: include === "participated",
      },
    );
  }

  #asking({ request, signal }: EndpointRequest): AskHomeserver {
    return async (path, query) => {
      const search = new URLSearchParams({ ...query, ...credentialsIn(request.raw.url ?? "") }).toString();
      const target = `/_matrix/client/${path}${search === "" ? "" : `?${search}`}`;
      const answer = await this.#deps.forwarder.open(request.raw, { signal, target, ...editableRequest(request.raw) });
      return { status: answer.statusCode, text: await readText(answer, PAGE_LIMITS) };
    };
  }
}
