/**
 * Endpoints that clients of sliding sync call and that not every homeserver has (M98): whether this one has them. It is asked once, with a
 * client's own request, and its answer is remembered.
 */

import type { FastifyRequest } from "fastify";
import type { RoomId } from "../wire/ids.ts";
import { editableRequest, parsedObject, readText } from "./json-answer.ts";
import type { Forwarder } from "./pass-through.ts";
import { segmentsOf } from "./proxy-path.ts";

/** A request for such an endpoint. `path`: what is remembered, the same for all rooms; `room`: as it is in the path. */
export type Endpoint =
  | { readonly kind: "summary"; readonly path: string; /** A room id or an alias. */ readonly room: string }
  | { readonly kind: "threads"; readonly path: string; readonly room: RoomId };

/** `*` is the room. Room summaries: Matrix 1.15 and MSC3266, in both of its paths. Lists of threads: Matrix 1.4 and MSC3856. */
const PATHS: readonly (readonly [Endpoint["kind"], string])[] = [
  ["summary", "v1/room_summary/*"],
  ["summary", "unstable/im.nheko.summary/summary/*"],
  ["summary", "unstable/im.nheko.summary/rooms/*/summary"],
  ["threads", "v1/rooms/*/threads"],
  ["threads", "unstable/org.matrix.msc3856/rooms/*/threads"],
];

/** How long an answer is remembered: a homeserver may be upgraded while this process runs. */
const REMEMBER_MS = 3_600_000;

/** null: the request is for none of these endpoints. */
export function endpointOf(method: string, target: string): Endpoint | null {
  if (method !== "GET") return null;
  const [matrix, client, ...segments] = segmentsOf(target) ?? [];
  if (matrix !== "_matrix" || client !== "client") return null;
  for (const [kind, path] of PATHS) {
    const names = path.split("/");
    const isOf = names.length === segments.length && names.every((name, index) => name === "*" || name === segments[index]);
    if (isOf) return { kind, path, room: (segments[names.indexOf("*")] ?? "") as RoomId };
  }
  return null;
}

export type HomeserverEndpointsDeps = {
  readonly forwarder: Pick<Forwarder, "open">;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
};

type Known = { readonly isThere: boolean; readonly until: number };

export class HomeserverEndpoints {
  readonly #deps: HomeserverEndpointsDeps;
  readonly #known = new Map<string, Known>();

  constructor(deps: HomeserverEndpointsDeps) {
    this.#deps = deps;
  }

  /** Whether the homeserver has the endpoint; true also if it does not say. Throws MatrixError 502 if it cannot be reached. */
  async has({ path }: Endpoint, request: FastifyRequest, signal: AbortSignal): Promise<boolean> {
    const { forwarder, now } = this.#deps;
    const known = this.#known.get(path);
    if (known && now() < known.until) return known.isThere;
    const answer = await forwarder.open(request.raw, { signal, ...editableRequest(request.raw) });
    const status = answer.statusCode;
    const isThere = !isUnrecognized(status, (await readText(answer)) ?? "");
    // A token that is refused, a limit of requests or a failure may come before the homeserver looks at the path.
    if (status !== 401 && status !== 429 && status < 500) this.#known.set(path, { isThere, until: now() + REMEMBER_MS });
    return isThere;
  }
}

/**
 * Whether an answer says that there is no such endpoint: M_UNRECOGNIZED. A reverse proxy in front of a homeserver, or an old homeserver, answers
 * with 404 or 405 and no Matrix error.
 */
export function isUnrecognized(status: number, text: string): boolean {
  if (status < 400 || status >= 500) return false;
  const errcode = parsedObject(text)["errcode"];
  return errcode === "M_UNRECOGNIZED" || ((status === 404 || status === 405) && errcode === undefined);
}
