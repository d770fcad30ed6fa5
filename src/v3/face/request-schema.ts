/** Checks the body of `POST /_matrix/client/v3/sync`. Unknown keys are ignored (D5). */

import Type, { type TSchema } from "typebox";
import { badJson } from "../../wire/errors.ts";
import { isObject } from "../../wire/identifier.ts";
import { isStorable } from "../../wire/ids.ts";
import { type SyncBody, syncRequestSchema } from "../params.ts";
import { bodyCheck } from "../../http/body-check.ts";

const check = bodyCheck(syncRequestSchema);

/** The checked body, without members that the schema does not know. @throws MatrixError 400 M_BAD_JSON that names the field */
export function checkSyncRequest(body: unknown): SyncBody {
  const request = known(syncRequestSchema, check(body)) as SyncBody;
  const field = unstorableField(request, "");
  if (field !== null) throw badJson(field, "must be text without NUL and without half of a surrogate pair");
  return request;
}

/** Where in a value there is a text that cannot be an id, type or key, because PostgreSQL refuses to store or compare it; null: nowhere. */
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

/** A value that fits the schema, without unknown members of its objects: parameters are remembered, and unknown ones would only take space. */
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
