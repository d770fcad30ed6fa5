/**
 * Reads the body of `POST /_matrix/client/v4/sync` (MSC4186 as merged, with the extensions of MSC4262, MSC4480, MSC4508, MSC4538, MSC4543, MSC4548 and
 * MSC4551).
 * Everything is in the body, and every request is complete in itself.
 */

import Type, { type Static } from "typebox";
import type { ExtensionName, RoomConfig, SlidingBody, SlidingExtensions, SlidingFilters, SlidingList } from "../request.ts";
import type { Pattern } from "../pattern-set.ts";
import type { Atom, RequiredState } from "../required-state.ts";
import { invalidParam } from "../../wire/errors.ts";
import { type DeviceNo, isStorable, type RoomId } from "../../wire/ids.ts";
import { indexKey } from "../../wire/index-key.ts";
import { THREADS_EXTENSION } from "../../wire/thread-subscriptions.ts";
import { atMost, requestBounds } from "../../wire/request-bounds.ts";
import { bodyCheck } from "../../http/body-check.ts";
import { exclusionsOf } from "./exclusions.ts";
import { refuseOlderForm } from "./older-form.ts";
import { checkFilters, profilesOf, scopeOf, StateConfigs, threadsLimit } from "./request-parts.ts";
import { openSince, openStickySince } from "./to-device-since.ts";

const MAX_TIMELINE = 100;
const MAX_TO_DEVICE = 100;
const MAX_STICKY = 100;
/** From the spec's "Opaque Identifiers". */
const LIST_KEY = /^[0-9A-Za-z._~-]{1,255}$/;

const text = Type.String();
const texts = Type.Array(text);
const index = Type.Integer({ minimum: 0 });
const roomTypes = Type.Array(Type.Union([text, Type.Null()]));

const pattern = Type.Object({ type: Type.Optional(text), state_key: Type.Optional(text) });
export const requiredState = Type.Object({
  include: Type.Optional(Type.Array(pattern)),
  exclude: Type.Optional(Type.Array(pattern)),
  lazy_members: Type.Optional(Type.Boolean()),
});
const config = { timeline_limit: Type.Integer({ minimum: 0 }), required_state: requiredState };

const filters = Type.Object({
  is_dm: Type.Optional(Type.Boolean()),
  spaces: Type.Optional(Type.Array(Type.Unsafe<RoomId>(text))),
  is_encrypted: Type.Optional(Type.Boolean()),
  is_invited: Type.Optional(Type.Boolean()),
  room_types: Type.Optional(roomTypes),
  not_room_types: Type.Optional(roomTypes),
  tags: Type.Optional(texts),
  not_tags: Type.Optional(texts),
});

const list = Type.Object({ ...config, range: Type.Optional(Type.Tuple([index, index])), filters: Type.Optional(filters) });
const enabled = Type.Optional(Type.Boolean());
const scoped = Type.Object({ enabled, lists: Type.Optional(texts), rooms: Type.Optional(texts) });
const profiles = Type.Object({ enabled, lists: Type.Optional(texts), rooms: Type.Optional(texts), fields: Type.Optional(texts) });
const queue = Type.Object({ enabled, limit: Type.Optional(Type.Integer({ minimum: 1 })), since: Type.Optional(text) });
const plain = Type.Object({ enabled });
const threads = Type.Object({ enabled, limit: Type.Optional(Type.Integer()) });

/** The names of each extension: the stable one, and the one from before it was accepted. Answers use the name that was asked with. */
const EXTENSION_KEYS = {
  toDevice: ["to_device", "org.matrix.msc4538.to_device"],
  e2ee: ["e2ee", "org.matrix.msc4543.e2ee"],
  accountData: ["account_data", "org.matrix.msc4548.account_data"],
  profiles: ["profiles", "org.matrix.msc4262.profiles"],
  receipts: ["receipts", "org.matrix.msc4551.receipts"],
  stickyEvents: ["sticky_events", "org.matrix.msc4354.sticky_events"],
  typing: ["typing", "org.matrix.msc4508.typing"],
  // No MSC has it yet.
  presence: ["presence"],
  threads: ["thread_subscriptions", THREADS_EXTENSION],
} as const satisfies Record<ExtensionName, unknown>;

export const extensions = Type.Object({
  to_device: Type.Optional(queue),
  "org.matrix.msc4538.to_device": Type.Optional(queue),
  e2ee: Type.Optional(plain),
  "org.matrix.msc4543.e2ee": Type.Optional(plain),
  account_data: Type.Optional(scoped),
  "org.matrix.msc4548.account_data": Type.Optional(scoped),
  profiles: Type.Optional(profiles),
  "org.matrix.msc4262.profiles": Type.Optional(profiles),
  receipts: Type.Optional(scoped),
  "org.matrix.msc4551.receipts": Type.Optional(scoped),
  sticky_events: Type.Optional(queue),
  "org.matrix.msc4354.sticky_events": Type.Optional(queue),
  typing: Type.Optional(scoped),
  "org.matrix.msc4508.typing": Type.Optional(scoped),
  presence: Type.Optional(plain),
  thread_subscriptions: Type.Optional(threads),
  [THREADS_EXTENSION]: Type.Optional(threads),
});

export const v4Schema = Type.Object({
  conn_id: Type.Optional(Type.String({ maxLength: 255 })),
  pos: Type.Optional(text),
  timeout: Type.Optional(Type.Integer({ minimum: 0 })),
  set_presence: Type.Optional(text),
  lists: Type.Optional(Type.Record(text, list)),
  room_subscriptions: Type.Optional(Type.Record(text, Type.Object(config))),
  extensions: Type.Optional(extensions),
});

type V4Config = Pick<Static<typeof list>, "timeline_limit" | "required_state">;
type V4Configs = StateConfigs<Static<typeof requiredState>>;

/** MSC4538, MSC4480: a limit that is no positive integer is M_INVALID_PARAM, whatever it is instead. */
export const LIMITS = new Set([...EXTENSION_KEYS.toDevice, ...EXTENSION_KEYS.stickyEvents].map((name) => `extensions.${name}.limit`));

const check = bodyCheck(v4Schema, { bounds: true, parameters: LIMITS });

/** The name that each extension was asked with. */
export type ExtensionNames = Readonly<Partial<Record<ExtensionName, string>>>;

export type V4Request = {
  readonly connId: string;
  readonly pos: string | null;
  /** ms; null: not given. */
  readonly timeout: number | null;
  /** As it was given. */
  readonly presence: string | null;
  readonly names: ExtensionNames;
  readonly body: SlidingBody;
};

/**
 * @throws MatrixError 400: M_BAD_JSON that names a missing field, one of the wrong type, or one of the older form; M_INVALID_PARAM for one out of
 * bounds
 */
export function readV4Request(json: unknown, device: DeviceNo): V4Request {
  refuseOlderForm(json);
  const body = check(json);
  if (!isStorable(body.conn_id ?? "")) throw invalidParam("conn_id must be text without NUL");
  const lists = Object.entries(body.lists ?? {});
  const subscriptions = Object.entries(body.room_subscriptions ?? {});
  atMost("lists", lists.length, requestBounds().lists);
  atMost("room_subscriptions", subscriptions.length, requestBounds().subscriptions);
  const names = namesOf(body.extensions ?? {});
  const configs = stateConfigs();
  return {
    connId: body.conn_id ?? "",
    pos: body.pos ?? null,
    timeout: body.timeout ?? null,
    presence: body.set_presence ?? null,
    names,
    body: {
      lists: new Map(lists.map(([name, one]) => [name, listOf(name, one, configs)])),
      subscriptions: new Map(subscriptions.map(([roomId, one]) => [roomId as RoomId, configOf(`room_subscriptions.${roomId}`, one, configs)])),
      extensions: extensionsOf(body.extensions ?? {}, names, device),
      sticky: null,
    },
  };
}

/** Those of one request. */
export function stateConfigs(): V4Configs {
  return new StateConfigs({ size: ({ include = [], exclude = [] }) => Math.max(include.length, exclude.length), read: requiredStateOf });
}

function listOf(name: string, body: Static<typeof list>, configs: V4Configs): SlidingList {
  if (!LIST_KEY.test(name)) throw invalidParam("lists: a name is 1 to 255 of the characters 0-9 A-Z a-z . _ ~ -");
  const { range } = body;
  if (range && range[0] > range[1]) throw invalidParam(`lists.${name}.range: ${range[0]} is behind ${range[1]}`);
  const asked = checkFilters(`lists.${name}`, filtersOf(body.filters ?? {}));
  return { ranges: range ? [range] : null, filters: asked, config: configOf(`lists.${name}`, body, configs) };
}

function configOf(where: string, body: V4Config, configs: V4Configs): RoomConfig {
  return { timelineLimit: Math.min(body.timeline_limit, MAX_TIMELINE), requiredState: configs.read(where, body.required_state) };
}

/**
 * What is included, minus what is excluded. With `lazy_members`, an inclusion of every type does not include every member; one that names members
 * does.
 */
function requiredStateOf({ include = [], exclude = [], lazy_members = false }: Static<typeof requiredState>): RequiredState {
  const exclusions = exclusionsOf(exclude.map(patternOf));
  const atoms = include.flatMap((one): Atom[] => {
    const included = patternOf(one);
    const not = exclusions.narrowing(included);
    if (not === "all") return [];
    const noMembers = lazy_members && one.type === undefined && one.state_key === undefined;
    return [{ ...included, ...(not.length > 0 && { not }), ...(noMembers && { noMembers: true as const }) }];
  });
  return { atoms, lazy: lazy_members };
}

function patternOf({ type, state_key }: Static<typeof pattern>): Pattern {
  return { ...(type !== undefined && { type: indexKey(type) }), ...(state_key !== undefined && { key: indexKey(state_key) }) };
}

function filtersOf(body: Static<typeof filters>): SlidingFilters {
  return {
    ...(body.is_dm !== undefined && { isDm: body.is_dm }),
    ...(body.is_encrypted !== undefined && { isEncrypted: body.is_encrypted }),
    ...(body.is_invited !== undefined && { isInvite: body.is_invited }),
    ...(body.spaces && { spaces: body.spaces }),
    ...(body.room_types && { roomTypes: body.room_types }),
    ...(body.not_room_types && { notRoomTypes: body.not_room_types }),
    ...(body.tags && { tags: body.tags }),
    ...(body.not_tags && { notTags: body.not_tags }),
  };
}

export function namesOf(body: Static<typeof extensions>): ExtensionNames {
  const asked = Object.entries(EXTENSION_KEYS).flatMap(([extension, keys]) => {
    const name = keys.find((key) => body[key]?.enabled === true);
    return name === undefined ? [] : [[extension, name] as const];
  });
  return Object.fromEntries(asked);
}

export function extensionsOf(body: Static<typeof extensions>, names: ExtensionNames, device: DeviceNo): SlidingExtensions {
  const at = <Shape>(name: string | undefined) => (name === undefined ? undefined : (body as Record<string, Shape | undefined>)[name]);
  const ofUsers = at<Static<typeof profiles>>(names.profiles);
  const [messages, sticky] = [names.toDevice, names.stickyEvents].map((name) => at<Static<typeof queue>>(name));
  const [accountData, receipts, typing] = [names.accountData, names.receipts, names.typing].map((name) => at<Static<typeof scoped>>(name));
  return {
    ...(messages && { toDevice: toDeviceOf(messages, device) }),
    ...(names.e2ee !== undefined && { e2ee: true as const }),
    ...(accountData && { accountData: scopeOf("account_data", accountData, noWildcard) }),
    ...(ofUsers && { profiles: profilesOf(ofUsers, noWildcard) }),
    ...(receipts && { receipts: scopeOf("receipts", receipts, noWildcard) }),
    ...(sticky && { stickyEvents: stickyEventsOf(sticky, device) }),
    ...(typing && { typing: scopeOf("typing", typing, noWildcard) }),
    ...(names.presence !== undefined && { presence: true as const }),
    ...(names.threads !== undefined && { threads: { limit: threadsLimit(at<Static<typeof threads>>(names.threads)?.limit ?? null) } }),
  };
}

function toDeviceOf({ limit = MAX_TO_DEVICE, since }: Static<typeof queue>, device: DeviceNo) {
  const seq = since === undefined ? 0 : openSince(since, device);
  if (seq === null) throw invalidParam("to_device.since is not a next_batch of this server");
  return { limit: Math.min(limit, MAX_TO_DEVICE), since: seq };
}

function stickyEventsOf({ limit = MAX_STICKY, since }: Static<typeof queue>, device: DeviceNo) {
  const ord = since === undefined ? 0 : openStickySince(since, device);
  if (ord === null) throw invalidParam("sticky_events.since is not a next_batch of this server");
  return { limit: Math.min(limit, MAX_STICKY), since: ord };
}

/** There is no wildcard; unknown names are ignored (MSC4508). */
const noWildcard = () => false;
