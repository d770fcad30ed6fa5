/** `node packages/client/scripts/api-types.ts`: writes src/api-types.ts from the schemas that the server checks requests by. A test tells when it is due. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compile } from "json-schema-to-typescript";
import { unstableAnswerSchema, v4AnswerSchema } from "../../../src/sliding/face/answer-schemas.ts";
import { unstableSchema } from "../../../src/sliding/face/unstable-request.ts";
import { v4Schema } from "../../../src/sliding/face/v4-request.ts";
import { syncAnswerSchema } from "../../../src/v3/face/answer-schema.ts";
import { syncRequestSchema } from "../../../src/v3/params.ts";
import { accountAnswerSchema } from "../../../src/v3/face/account-route.ts";
import { sessionsAnswerSchema } from "../../../src/v3/face/sessions-route.ts";

const BANNER = "/** Bodies of requests and answers. Written by scripts/api-types.ts from the server's schemas: do not edit. */";

const NAMES: Readonly<Record<string, object>> = {
  V3Request: syncRequestSchema,
  V3Answer: syncAnswerSchema,
  SlidingRequest: unstableSchema,
  SlidingAnswer: unstableAnswerSchema,
  V4Request: v4Schema,
  V4Answer: v4AnswerSchema,
  SessionsAnswer: sessionsAnswerSchema,
  AccountAnswer: accountAnswerSchema,
};

/** The file's text. */
export async function apiTypes(): Promise<string> {
  const titled = new Map<unknown, object>();
  const properties = Object.fromEntries(Object.entries(NAMES).map(([title, schema]) => [title, plain({ ...schema, title }, titled)]));
  const all = { type: "object", properties, required: Object.keys(NAMES) };
  const text = await compile(all as never, "Api", { additionalProperties: false, bannerComment: BANNER, style: { printWidth: 150 } });
  return text.replace(/export interface Api \{\n[^}]*\}\n/, "");
}

/** Records as JSON Schema has them everywhere, and one schema a title: each becomes one type. */
function plain(schema: unknown, titled: Map<unknown, object>): unknown {
  if (Array.isArray(schema)) return schema.map((one) => plain(one, titled));
  if (typeof schema !== "object" || schema === null) return schema;
  const title = "title" in schema && typeof schema.title === "string" ? schema.title : null;
  const known = titled.get(title);
  if (known) return known;
  const members = Object.entries(schema).map(([key, value]) =>
    key === "patternProperties" ? ["additionalProperties", plain(Object.values(value as object)[0], titled)] : [key, plain(value, titled)],
  );
  const result = Object.fromEntries(members) as object;
  if (title !== null) titled.set(title, result);
  return result;
}

export const API_TYPES = join(import.meta.dirname, "../src/api-types.ts");
if (import.meta.main) await writeFile(API_TYPES, await apiTypes());
