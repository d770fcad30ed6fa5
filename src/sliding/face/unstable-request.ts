/**
 * Reads the body of `POST …/unstable/org.matrix.simplified_msc3575/sync`, the dialect of today's clients (Element X, the Rust SDK, matrix-js-sdk).
 * Every request is complete in itself. Unknown keys and extensions are ignored, and what clients leave out has a default: required_state is empty,
 * and timeline_limit 20.
 */

import Type, { type Static } from "typebox";
import type { RoomConfig, SlidingBody, SlidingExtensions, SlidingFilters, SlidingList } from "../request.ts";
import type { Atom, RequiredState } from "../required-state.ts";
import { invalidParam } from "../../wire/errors.ts";
import { type DeviceNo, isStorable, type RoomId, type UserId } from "../../wire/ids.ts";
import { indexKey } from "../../wire/index-key.ts";
import { THREADS_EXTENSION } from "../../wire/thread-subscriptions.ts";
import { atMost, requestBounds } from "../../wire/request-bounds.ts";
import { bodyCheck } from "../../http/body-check.ts";
import { checkFilters, profilesOf, scopeOf, StateConfigs, threadsLimit } from "./request-parts.ts";
import { openSince, openStickySince } from "./to-device-since.ts";

/** A timeline's default limit, and its maximum. */
const DEFAULT_TIMELINE = 20;
const MAX_TIMELINE = 100;
/** A limit above this is refused instead of lowered. */
const REFUSED_TIMELINE = 1000;
const MAX_TO_DEVICE = 100;
const MAX_STICKY = 100;

export const UNSTABLE_PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

const orNull = <Schema extends Type.TSchema>(schema: Schema) => Type.Optional(Type.Union([schema, Type.Null()]));
const text = Type.String();
const texts = Type.Array(text);
const rooms = Type.Array(Type.Unsafe<RoomId>(text));
const index = Type.Integer({ minimum: 0 });
const roomTypes = Type.Array(Type.Union([text, Type.Null()]));

const config = {
  required_state: orNull(Type.Array(Type.Tuple([text, text]))),
  timeline_limit: orNull(Type.Integer({ minimum: 0 })),
};

const filters = Type.Object({
  is_dm: orNull(Type.Boolean()),
  is_encrypted: orNull(Type.Boolean()),
  is_invite: orNull(Type.Boolean()),
  spaces: orNull(rooms),
  room_types: orNull(roomTypes),
  not_room_types: orNull(roomTypes),
  room_name_like: orNull(text),
  tags: orNull(texts),
  not_tags: orNull(texts),
});

const list = Type.Object({
  ...config,
  ranges: orNull(Type.Array(Type.Tuple([index, index]))),
  slow_get_all_rooms: orNull(Type.Boolean()),
  filters: orNull(filters),
});

const queue = Type.Object({ enabled: orNull(Type.Boolean()), limit: orNull(Type.Integer()), since: orNull(text) });
const profiles = Type.Object({ enabled: orNull(Type.Boolean()), lists: orNull(texts), rooms: orNull(texts), fields: orNull(texts) });
const scoped = Type.Object({ enabled: orNull(Type.Boolean()), lists: orNull(texts), rooms: orNull(texts) });

export const unstableSchema = Type.Object({
  conn_id: orNull(Type.String({ maxLength: 255 })),
  txn_id: orNull(Type.String({ maxLength: 255 })),
  pos: orNull(text),
  timeout: orNull(Type.Integer({ minimum: 0 })),
  set_presence: orNull(text),
  lists: orNull(Type.Record(text, list)),
  room_subscriptions: orNull(Type.Record(text, Type.Object(config))),
  unsubscribe_rooms: orNull(rooms),
  extensions: orNull(
    Type.Object({
      to_device: orNull(queue),
      e2ee: orNull(Type.Object({ enabled: orNull(Type.Boolean()) })),
      account_data: orNull(scoped),
      "org.matrix.msc4262.profiles": orNull(profiles),
      receipts: orNull(scoped),
      typing: orNull(scoped),
      presence: orNull(Type.Object({ enabled: orNull(Type.Boolean()) })),
      [THREADS_EXTENSION]: orNull(Type.Object({ enabled: orNull(Type.Boolean()), limit: orNull(Type.Integer()) })),
      "org.matrix.msc4354.sticky_events": orNull(queue),
    }),
  ),
});

type UnstableBody = Static<typeof unstableSchema>;
type UnstableList = Static<typeof list>;
type UnstableConfig = Pick<UnstableList, "required_state" | "timeline_limit">;
type Tuples = readonly (readonly [string, string])[];
type UnstableConfigs = StateConfigs<Tuples>;

const check = bodyCheck(unstableSchema, { bounds: true });

export type UnstableRequest = {
  readonly connId: string;
  readonly txnId: string | null;
  readonly pos: string | null;
  /** ms; null: not given. */
  readonly timeout: number | null;
  /** As it was given. */
  readonly presence: string | null;
  readonly body: SlidingBody;
};

/** @throws MatrixError 400: M_BAD_JSON that names a field of the wrong type, M_INVALID_PARAM for one out of bounds */
export function readUnstableRequest(json: unknown, who: { readonly userId: UserId; readonly device: DeviceNo }): UnstableRequest {
  const body = check(json);
  if (!isStorable(body.conn_id ?? "")) throw invalidParam("conn_id must be text without NUL");
  const lists = Object.entries(body.lists ?? {});
  const subscriptions = Object.entries(body.room_subscriptions ?? {});
  atMost("lists", lists.length, requestBounds().lists);
  atMost("unsubscribe_rooms", body.unsubscribe_rooms?.length ?? 0, requestBounds().namedRooms);
  const configs: UnstableConfigs = new StateConfigs({ size: (tuples) => tuples.length, read: (tuples) => requiredStateOf(tuples, who.userId) });
  return {
    connId: body.conn_id ?? "",
    txnId: body.txn_id ?? null,
    pos: body.pos ?? null,
    timeout: body.timeout ?? null,
    presence: body.set_presence ?? null,
    body: {
      lists: new Map(lists.map(([name, one]) => [name, listOf(name, one, configs)])),
      subscriptions: new Map(subscriptions.map(([roomId, one]) => [roomId as RoomId, configOf(`room_subscriptions.${roomId}`, one, configs)])),
      extensions: extensionsOf(body.extensions ?? {}, who.device),
      // matrix-js-sdk names no connection and subscribes once. Clients that name one send complete requests.
      sticky: body.conn_id === undefined || body.conn_id === null ? { unsubscribe: body.unsubscribe_rooms ?? [] } : null,
    },
  };
}

function listOf(name: string, body: UnstableList, configs: UnstableConfigs): SlidingList {
  if (name.length > 64) throw invalidParam("lists: a name has at most 64 characters");
  atMost(`lists.${name}.ranges`, body.ranges?.length ?? 0, requestBounds().ranges);
  const ranges = body.slow_get_all_rooms === true ? null : (body.ranges ?? null);
  for (const [from, to] of ranges ?? []) if (from > to) throw invalidParam(`lists.${name}.ranges: ${from} is behind ${to}`);
  const asked = checkFilters(`lists.${name}`, filtersOf(body.filters ?? {}));
  return { ranges, filters: asked, config: configOf(`lists.${name}`, body, configs) };
}

function configOf(where: string, body: UnstableConfig, configs: UnstableConfigs): RoomConfig {
  const limit = body.timeline_limit ?? DEFAULT_TIMELINE;
  if (limit > REFUSED_TIMELINE) throw invalidParam(`${where}.timeline_limit: at most ${REFUSED_TIMELINE}`);
  return { timelineLimit: Math.min(limit, MAX_TIMELINE), requiredState: configs.read(where, body.required_state ?? []) };
}

/**
 * `*` is any type or key, `$ME` the user, `$LAZY` the members that the timeline needs. If there is both a full wildcard and a tuple for members,
 * all state is sent, but only those members.
 */
export function requiredStateOf(tuples: Tuples, me: UserId): RequiredState {
  const narrowed = tuples.some(([type]) => type === "m.room.member");
  const isLazy = ([type, key]: readonly [string, string]) => type === "m.room.member" && key === "$LAZY";
  const atoms = tuples
    .filter((tuple) => !isLazy(tuple))
    .map(([type, key]): Atom => ({
      ...(type !== "*" && { type: indexKey(type) }),
      ...(key !== "*" && { key: key === "$ME" ? me : indexKey(key) }),
      ...(type === "*" && key === "*" && narrowed && { noMembers: true as const }),
    }));
  return { atoms, lazy: tuples.some(isLazy) };
}

function filtersOf(body: Static<typeof filters>): SlidingFilters {
  return {
    ...(typeof body.is_dm === "boolean" && { isDm: body.is_dm }),
    ...(typeof body.is_encrypted === "boolean" && { isEncrypted: body.is_encrypted }),
    ...(typeof body.is_invite === "boolean" && { isInvite: body.is_invite }),
    ...(body.spaces && { spaces: body.spaces }),
    ...(body.room_types && { roomTypes: body.room_types }),
    ...(body.not_room_types && { notRoomTypes: body.not_room_types }),
    ...(body.tags && { tags: body.tags }),
    ...(body.not_tags && { notTags: body.not_tags }),
    ...(typeof body.room_name_like === "string" && { roomNameLike: body.room_name_like }),
  };
}

export function extensionsOf(body: NonNullable<UnstableBody["extensions"]>, device: DeviceNo): SlidingExtensions {
  const { to_device, e2ee, account_data, receipts, typing, presence, [THREADS_EXTENSION]: threads } = body;
  const { "org.matrix.msc4262.profiles": ofUsers, "org.matrix.msc4354.sticky_events": sticky } = body;
  return {
    ...(to_device?.enabled === true && {
      toDevice: {
        limit: Math.min(Math.max(1, to_device.limit ?? MAX_TO_DEVICE), MAX_TO_DEVICE),
        // A token that is not ours is from a native server used before, so nothing of ours was received.
        since: typeof to_device.since === "string" ? (openSince(to_device.since, device) ?? 0) : 0,
      },
    }),
    ...(e2ee?.enabled === true && { e2ee: true as const }),
    ...(account_data?.enabled === true && { accountData: scopeOf("account_data", account_data, hasWildcard) }),
    ...(ofUsers?.enabled === true && { profiles: profilesOf(ofUsers, hasWildcard) }),
    ...(receipts?.enabled === true && { receipts: scopeOf("receipts", receipts, hasWildcard) }),
    ...(sticky?.enabled === true && {
      stickyEvents: {
        limit: Math.min(Math.max(1, sticky.limit ?? MAX_STICKY), MAX_STICKY),
        since: typeof sticky.since === "string" ? (openStickySince(sticky.since, device) ?? 0) : 0,
      },
    }),
    ...(typing?.enabled === true && { typing: scopeOf("typing", typing, hasWildcard) }),
    ...(presence?.enabled === true && { presence: true as const }),
    ...(threads?.enabled === true && { threads: { limit: threadsLimit(threads.limit ?? null) } }),
  };
}

const hasWildcard = (names: readonly string[]) => names.includes("*");
