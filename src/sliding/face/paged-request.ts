/**
 * Reads the body of `POST …/unstable/org.matrix.msc4525/sync` (MSC4525, paginated sync): what MSC4186 asks of a list, for all rooms, without lists.
 * The text has the required_state and the extensions of v4. The clients that there are send tuples and the extensions of the unstable dialect, so
 * whoever does is answered in that dialect.
 */

import Type, { type Static } from "typebox";
import { bodyCheck } from "../../http/body-check.ts";
import { invalidParam } from "../../wire/errors.ts";
import { type DeviceNo, isStorable, type UserId } from "../../wire/ids.ts";
import type { SlidingBody, SlidingExtensions } from "../request.ts";
import type { RequiredState } from "../required-state.ts";
import { StateConfigs } from "./request-parts.ts";
import * as unstable from "./unstable-request.ts";
import * as v4 from "./v4-request.ts";

export const PAGED_PATH = "/_matrix/client/unstable/org.matrix.msc4525/sync";

const MAX_PAGE = 1000;
const MAX_TIMELINE = 100;

const count = (minimum: number, description: string) => Type.Integer({ minimum, description });
const page = {
  conn_id: Type.Optional(Type.String({ maxLength: 255 })),
  pos: Type.Optional(Type.String()),
  timeout: Type.Optional(Type.Integer({ minimum: 0 })),
  set_presence: Type.Optional(Type.String()),
  page_size: count(1, "At most so many rooms are sent"),
  limit: count(0, "At most so many new events of a room are sent"),
  history: Type.Optional(count(0, "So many events are sent of a room that this connection has not been sent. Default: `limit`")),
};

export const pagedSchema = Type.Object({
  ...page,
  required_state: Type.Optional(v4.requiredState),
  extensions: Type.Optional(v4.extensions),
});
const tupleSchema = Type.Object({
  ...page,
  required_state: Type.Array(Type.Tuple([Type.String(), Type.String()])),
  extensions: unstable.unstableSchema.properties.extensions,
});

const checkPaged = bodyCheck(pagedSchema, { bounds: true, parameters: v4.LIMITS });
const checkTuples = bodyCheck(tupleSchema, { bounds: true });

export type PagedRequest = {
  readonly connId: string;
  readonly pos: string | null;
  /** ms; null: not given. */
  readonly timeout: number | null;
  /** `set_presence` as it was given. */
  readonly presence: string | null;
  /** The name that each extension was asked with; null: the answer is in the unstable dialect. */
  readonly names: v4.ExtensionNames | null;
  readonly body: SlidingBody;
};

/** @throws MatrixError 400: M_BAD_JSON that names a missing field or one of the wrong type, M_INVALID_PARAM for one out of bounds */
export function readPagedRequest(json: unknown, who: { readonly userId: UserId; readonly device: DeviceNo }): PagedRequest {
  if (hasTuples(json)) {
    const body = checkTuples(json);
    const configs = new StateConfigs({
      size: (tuples: typeof body.required_state) => tuples.length,
      read: (tuples) => unstable.requiredStateOf(tuples, who.userId),
    });
    const asked = unstable.extensionsOf(unscoped(body.extensions ?? {}), who.device);
    return { ...placeOf(body), names: null, body: bodyOf(body, configs.read("body", body.required_state), asked) };
  }
  const body = checkPaged(json);
  const extensions = unscoped(body.extensions ?? {});
  const names = v4.namesOf(extensions);
  const configs = v4.stateConfigs();
  return {
    ...placeOf(body),
    names,
    body: bodyOf(body, configs.read("body", body.required_state ?? {}), v4.extensionsOf(extensions, names, who.device)),
  };
}

function hasTuples(json: unknown): boolean {
  return typeof json === "object" && json !== null && "required_state" in json && Array.isArray(json.required_state);
}

type PageBody = Pick<Static<typeof pagedSchema>, keyof typeof page>;

function placeOf({ conn_id: connId = "", pos, timeout, set_presence: presence }: PageBody) {
  if (!isStorable(connId)) throw invalidParam("conn_id must be text without NUL");
  return { connId, pos: pos ?? null, timeout: timeout ?? null, presence: presence ?? null };
}

/** All rooms are a list. */
function bodyOf({ page_size, limit, history = limit }: PageBody, requiredState: RequiredState, extensions: SlidingExtensions): SlidingBody {
  const config = { timelineLimit: Math.min(limit, MAX_TIMELINE), requiredState };
  return {
    lists: new Map([["all", { ranges: null, filters: {}, config }]]),
    subscriptions: new Map(),
    extensions,
    sticky: null,
    paging: { pageSize: Math.min(page_size, MAX_PAGE), history: Math.min(history, MAX_TIMELINE) },
  };
}

/** There is nothing that extensions could be restricted to. */
function unscoped<Extensions extends object>(extensions: Extensions): Extensions {
  const entries = Object.entries(extensions).map(([name, asked]: [string, object | null]) => [
    name,
    asked && { ...asked, lists: undefined, rooms: undefined },
  ]);
  return Object.fromEntries(entries) as Extensions;
}
