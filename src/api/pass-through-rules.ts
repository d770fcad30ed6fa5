/** Passes everything that is not ours to the homeserver, with what is changed or learned on the way. */

import type { FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "../base/logger.ts";
import { sendJson } from "../http/send-json.ts";
import { invalidParam, unknownPos, unrecognized } from "../wire/errors.ts";
import type { Authenticator, Identity } from "./auth.ts";
import { type HistoryPages, isHistory } from "./history.ts";
import { endpointOf } from "./endpoints.ts";
import { UPLOAD_BODY_BYTES, type KeyUploads, uploadOf } from "./key-uploads.ts";
import { editLogin, logsIn } from "./login-answers.ts";
import { carryOut, ENDING_BODY_BYTES, endingOf, type Ending } from "./logout-hooks.ts";
import { asksMedia, MEDIA_HEADERS } from "./media-headers.ts";
import { MissingEndpoints, type MissingEndpointsDeps } from "./missing-endpoints.ts";
import { pagingRequest, type PagingRequest } from "./paging-request.ts";
import type { Forwarder } from "./pass-through.ts";
import { givenToken, type PolledDevices } from "./polled-devices.ts";
import type { AccountNo } from "../wire/ids.ts";
import type { DeviceRef, FindDevice, Forgetting, RoomStore, ThreadPages, UpstreamToken } from "./ports.ts";
import { ourTokens, withTokens } from "./pos-translation.ts";
import { judgeTarget, segmentsOf } from "./proxy-path.ts";
import { transactionOf, type Sends } from "./sends.ts";
import { syncKindOf } from "./sync-path.ts";
import type { V2Sync } from "./v2-sync.ts";
import { asksThreads, threadsAsked, withoutOurPos } from "./thread-pages.ts";
import { asksVersions, editVersions, type VersionsOptions } from "./versions.ts";
import { asksWellKnown, serveWellKnown } from "./well-known.ts";

export type PasserDeps = {
  readonly auth: Authenticator;
  readonly forwarder: Forwarder;
  readonly forgetting: Forgetting;
  readonly findDevice: FindDevice;
  readonly sends: Sends;
  readonly v2Sync: Pick<V2Sync, "handle">;
  readonly polled: PolledDevices;
  readonly keyUploads: KeyUploads;
  readonly logger: Logger;
  readonly versions: VersionsOptions;
  /** Null: clients are not told an address. */
  readonly publicUrl: string | null;
  readonly passAdmin: boolean;
  /** Null: there are no positions to translate. */
  readonly upstreamToken: UpstreamToken | null;
  /** Default: no such tokens of ours are in use. */
  readonly threadPages?: ThreadPages | undefined;
  /** Null: no pagination tokens of ours are in use. */
  readonly history: HistoryPages | null;
  /** Default: endpoints that the homeserver lacks are not answered. */
  readonly rooms?: RoomStore;
  /** See MissingEndpointsDeps. */
  readonly count: MissingEndpointsDeps["count"];
  readonly now: () => number;
  /** Called when the homeserver refused a request of the account about a room. */
  readonly roomRefused: (account: AccountNo) => void;
  /** On this path only GET may be the homeserver's: other methods are refused. */
  readonly ownPath: string;
};

/** What the homeserver answers to members' requests about a room that it does not have, or not for this user. */
const REFUSED: readonly number[] = [403, 404];
const OF_ROOM: ReadonlySet<string | undefined> = new Set(["leave", "forget", "send", "state"]);

/** Whether it is a leave, a forget, a send or a change of state: `_matrix/client/v3/rooms/{id}/…`. */
function isOfRoom(method: string, segments: readonly string[]): boolean {
  return (method === "POST" || method === "PUT") && segments[3] === "rooms" && OF_ROOM.has(segments[5]);
}

/** A request in the form that all ways of passing it need; `signal` aborts when the client disconnects. */
type Passing = { readonly request: FastifyRequest; readonly reply: FastifyReply; readonly signal: AbortSignal };

export class Passer {
  readonly #deps: PasserDeps;
  readonly #missing: MissingEndpoints | null;

  constructor(deps: PasserDeps) {
    this.#deps = deps;
    this.#missing = deps.rooms ? new MissingEndpoints({ ...deps, rooms: deps.rooms }) : null;
  }

  /** Answers the request. Throws MatrixError: 400, 404, 405 for what is not passed, 502. */
  async handle(request: FastifyRequest, reply: FastifyReply, signal: AbortSignal): Promise<unknown> {
    const { method } = request;
    const target = request.raw.url ?? "/";
    if (method === "OPTIONS" && /^\/_matrix(?:[/?]|$)/.test(target)) return reply.code(204).send();
    const kind = judgeTarget(target, this.#deps.passAdmin);
    if (kind === "refused") throw invalidParam("This request target is not accepted");
    if (kind === "unknown") throw unrecognized();
    const sync = syncKindOf(method, target);
    if (sync === "v2") return this.#deps.v2Sync.handle(request, reply, signal);
    const segments = segmentsOf(target) ?? [];
    if (method === "TRACE" || segments.join("/") === this.#deps.ownPath.slice(1)) throw unrecognized(405);
    if (sync === "sliding") await this.#deps.polled.refuse(request);
    const { forwarder, publicUrl } = this.#deps;
    if (publicUrl !== null && asksWellKnown(method, segments)) return serveWellKnown(request, reply, { forwarder, publicUrl, signal });
    await this.#pass({ request, reply, signal }, target, segments);
    if (isOfRoom(method, segments) && REFUSED.includes(reply.raw.statusCode)) await this.#roomRefused(request);
    return reply;
  }

  async #pass(passing: Passing, target: string, segments: readonly string[]): Promise<void> {
    const { request, reply, signal } = passing;
    const { method } = request;
    const { forwarder, versions, publicUrl } = this.#deps;
    const ending = endingOf(method, target);
    if (ending) return this.#passEnding(passing, ending);
    const txnId = transactionOf(method, target);
    if (txnId !== null) return this.#passSend(passing, txnId);
    const upload = uploadOf(method, target);
    if (upload) return this.#passKeyUpload(passing, upload.deviceId);
    const endpoint = this.#missing && endpointOf(method, target);
    if (endpoint && (await this.#missing?.answer({ ...passing, whose: () => this.#findDevice(request) }, endpoint))) return;
    const paging = pagingRequest(method, target);
    if (paging) return this.#passPaging(passing, target, paging);
    if (asksThreads(method, segments)) return this.#passThreads(passing, target);
    if (asksVersions(method, segments)) return forwarder.forward(request, reply, { signal, edit: editVersions(versions) });
    if (logsIn(method, target)) return forwarder.forward(request, reply, { signal, edit: editLogin(publicUrl) });
    return forwarder.forward(request, reply, { signal, ...(asksMedia(method, target) && { added: MEDIA_HEADERS }) });
  }

  /** Requests that end something stored here (D2). */
  async #passEnding({ request, reply, signal }: Passing, ending: Ending): Promise<void> {
    const { auth, forwarder, forgetting, logger } = this.#deps;
    // Asked before the request is passed, because afterwards nobody knows whose token it was.
    const identity = await this.#identify(request);
    if (!identity) return forwarder.forward(request, reply, { signal });
    const onAnswer = async (status: number, body: Buffer): Promise<void> => {
      if (status >= 200 && status < 300) await carryOut({ auth, forgetting, logger }, ending, identity, body);
    };
    return forwarder.forward(request, reply, { signal, capture: ENDING_BODY_BYTES, onAnswer });
  }

  /** A send of a device that is stored here: its event's id is stored before the client gets the answer. */
  async #passSend({ request, reply, signal }: Passing, txnId: string): Promise<void> {
    const { forwarder, sends } = this.#deps;
    const ref = await sends.find(() => this.#findDevice(request));
    if (!ref) return forwarder.forward(request, reply, { signal });
    const end = sends.begin(ref.device);
    const edit = async (text: string): Promise<null> => {
      await sends.learn(ref, txnId, text);
      end();
      return null;
    };
    try {
      await forwarder.forward(request, reply, { signal, edit });
    } finally {
      end();
    }
  }

  /** T11: what the answer to an upload of keys says is stored before the client gets it. `pathDevice`: the device in the path; null: the token's. */
  async #passKeyUpload({ request, reply, signal }: Passing, pathDevice: string | null): Promise<void> {
    const { forwarder, keyUploads, findDevice } = this.#deps;
    const identity = await keyUploads.find(() => this.#identify(request));
    if (!identity || (pathDevice !== null && pathDevice !== identity.deviceId)) return forwarder.forward(request, reply, { signal });
    let sent: Buffer = Buffer.alloc(0);
    const onAnswer = async (_status: number, body: Buffer): Promise<void> => void (sent = body);
    const edit = async (answer: string): Promise<null> => {
      await keyUploads.learn(() => findDevice(identity.userId, identity.deviceId), sent, answer);
      return null;
    };
    return forwarder.forward(request, reply, { signal, capture: UPLOAD_BODY_BYTES, onAnswer, edit });
  }

  /** Replaces our tokens in the query by the homeserver's. Throws MatrixError 400. */
  async #passPaging(passing: Passing, target: string, paging: PagingRequest): Promise<void> {
    const { request, reply, signal } = passing;
    const { forwarder, history } = this.#deps;
    const asked = ourTokens(request.method, target).length > 0 ? await this.#withoutPositions(request, target) : target;
    if (!history || !isHistory(paging)) return forwarder.forward(request, reply, { signal, target: asked });
    const whose = () => this.#findDevice(request);
    await history.note(request, whose);
    return history.pass({ request, reply, signal, paging, whose }, asked);
  }

  /** @throws MatrixError 400 M_INVALID_PARAM */
  async #passThreads({ request, reply, signal }: Passing, target: string): Promise<void> {
    const { forwarder, threadPages } = this.#deps;
    const asked = threadPages && threadsAsked(target);
    const ref = asked ? await this.#findDevice(request) : null;
    if (!asked || !ref) return forwarder.forward(request, reply, { signal, target: withoutOurPos(target) });
    const page = await threadPages(ref.account, asked.from, asked.limit);
    if (page === null) throw invalidParam("`from` is not a token of this server");
    await sendJson(request, reply, page);
  }

  /** The target with the homeserver's tokens in place of positions. Throws MatrixError 400 M_UNKNOWN_POS. */
  async #withoutPositions(request: FastifyRequest, target: string): Promise<string> {
    const { upstreamToken } = this.#deps;
    const identity = upstreamToken && (await this.#identify(request));
    // The homeserver decides about tokens that are unknown here.
    if (!upstreamToken || !identity) return target;
    const ref = await this.#deps.findDevice(identity.userId, identity.deviceId);
    return withTokens(target, async (token) => {
      const upstream = ref ? await upstreamToken(token, ref.account) : "unknown";
      if (upstream === "unknown") throw unknownPos();
      return upstream;
    });
  }

  /** The homeserver refused what only members may do: perhaps the room exists here alone (T1). */
  async #roomRefused(request: FastifyRequest): Promise<void> {
    const ref = await this.#findDevice(request);
    if (ref) this.#deps.roomRefused(ref.account);
  }

  async #findDevice(request: FastifyRequest): Promise<DeviceRef | null> {
    const identity = await this.#identify(request);
    return identity && this.#deps.findDevice(identity.userId, identity.deviceId);
  }

  /**
   * The owner of a request's token; null if that cannot be said now. With user_id an application service acts for somebody, so the token does not
   * say whose request it is.
   */
  async #identify(request: FastifyRequest): Promise<Identity | null> {
    const query = new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
    const token = givenToken(request, query);
    return token === null || query.has("user_id") ? null : this.#deps.auth.identify(token);
  }
}
