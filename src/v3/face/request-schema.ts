/**
 * The body of `POST /_matrix/client/v3/sync` (R4, part 3): one schema is the type, the check and the documentation.
 * Every parameter may be null: its default again (D9). Unknown keys are ignored (D5).
 */

import Type, { type TSchema } from "typebox";
import { badJson } from "../../wire/errors.ts";
import { isObject } from "../../wire/identifier.ts";
import { isStorable } from "../../wire/ids.ts";
import type { JsonObject } from "../merge.ts";
import { bodyCheck } from "../../http/body-check.ts";

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Optional(Type.Union([schema, Type.Null()]));
const text = Type.String();
const texts = Type.Array(text);
const limit = Type.Integer();
const pairs = Type.Array(Type.Tuple([text, text]));
const page = Type.Object({ limit: orNull(limit), sort: orNull(Type.Union([text, texts])), since: orNull(text) });

const filters = Type.Object({
  is_dm: orNull(Type.Boolean()),
  is_encrypted: orNull(Type.Boolean()),
  tags: orNull(texts),
  not_tags: orNull(texts),
  room_types: orNull(Type.Array(Type.Union([text, Type.Null()]))),
  not_room_types: orNull(Type.Array(Type.Union([text, Type.Null()]))),
  room_name_like: orNull(text),
});

/** One member a stream; null ends it. */
export const syncRequestSchema = Type.Object({
  typing: orNull(Type.Object({ room_id: orNull(text) })),
  to_device: orNull(Type.Object({ limit: orNull(limit) })),
  room_members: orNull(Type.Object({ room_id: orNull(text), membership: orNull(texts), p: orNull(page) })),
  room: orNull(
    Type.Object({
      room_id: orNull(text),
      timeline_limit: orNull(limit),
      types: orNull(texts),
      not_types: orNull(texts),
      state: orNull(Type.Union([Type.Literal("all"), pairs])),
      room_member_limit: orNull(limit),
      room_member_sort: orNull(text),
      earliest_timeline_event_ids: orNull(texts),
    }),
  ),
  room_list: orNull(
    Type.Object({
      p: orNull(page),
      state_events: orNull(pairs),
      spaces: orNull(texts),
      timeline_limit: orNull(limit),
      lazy_load_members: orNull(Type.Boolean()),
      track_notifications: orNull(Type.Boolean()),
      filters: orNull(filters),
      rooms: orNull(Type.Boolean()),
    }),
  ),
  invites: orNull(Type.Object({})),
  account_data: orNull(Type.Object({ global: orNull(Type.Boolean()), rooms: orNull(Type.Union([text, texts])) })),
  receipts: orNull(Type.Object({ room_id: orNull(text) })),
  presence: orNull(Type.Object({})),
  e2ee: orNull(Type.Object({})),
});

const check = bodyCheck(syncRequestSchema);

/** The body, checked, without what the schema does not know. @throws MatrixError 400 M_BAD_JSON that names the field. */
export function checkSyncRequest(body: unknown): JsonObject {
  check(body);
  const request = known(syncRequestSchema, body) as JsonObject;
  const field = unstorableField(request, "");
  if (field !== null) throw badJson(field, "must be text without NUL and without half of a surrogate pair");
  return request;
}

/** Where in a value a text is that no id, type or key is stored under, and that PostgreSQL refuses to look for; null: nowhere. */
function unstorableField(value: unknown, where: string): string | null {
  if (typeof value === "string") return isStorable(value) ? null : where;
  if (typeof value !== "object" || value === null) return null;
  for (const [key, member] of Object.entries(value)) {
    const found = unstorableField(member, where === "" ? key : `${where}.${key}`);
    if (found !== null) return found;
  }
  return null;
}

type ObjectSchema = TSchema & { readonly properties: Readonly<Record<string, TSchema>> };

/** A value that fits the schema, without unknown members of its objects: parameters are kept, and nobody needs those. */
function known(schema: TSchema, value: unknown): unknown {
  const shape = Type.IsUnion(schema) ? schema.anyOf.find(hasProperties) : schema;
  if (!isObject(value) || shape === undefined || !hasProperties(shape)) return value;
  const { properties } = shape;
  const members = Object.entries(value).flatMap(([key, member]) => {
    const inner = Object.hasOwn(properties, key) ? properties[key] : undefined;
    return inner ? [[key, known(inner, member)] as const] : [];
  });
  return Object.fromEntries(members);
}

function hasProperties(schema: TSchema): schema is ObjectSchema {
  return "properties" in schema;
}
