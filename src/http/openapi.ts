/** `GET /openapi.json`: what this server answers itself, as OpenAPI 3.1 from the schemas that check requests. */

import Type, { type TSchema } from "typebox";
import type { RoutePlugin } from "./route.ts";

/** One endpoint. Times in queries and bodies are ms. */
export type Operation = {
  readonly method: "get" | "post" | "delete";
  /** May contain `{name}` for a part of the path. */
  readonly path: string;
  readonly summary: string;
  /** Query parameters; all are optional. */
  readonly query?: Readonly<Record<string, TSchema>>;
  /** The body is read as JSON whatever its Content-Type; an empty one is `{}`. */
  readonly body?: TSchema;
  /** The schema of a 200 answer. */
  readonly answer: TSchema;
  /** Statuses other than 200; each has an error body. */
  readonly errors: readonly number[];
  /** Answered without an access token. Default: false. */
  readonly isPublic?: boolean;
};

/** Statuses of any request with an access token (D2, D4, D21), and those that a body adds (D5). */
export const AUTH_ERRORS = [401, 403, 429, 502, 503] as const;
export const BODY_ERRORS = [400, 408, 413, ...AUTH_ERRORS] as const;

const HEALTH: readonly Operation[] = [
  {
    method: "get",
    path: "/health/live",
    summary: "The process answers",
    answer: Type.Object({ status: Type.Literal("live") }),
    errors: [503],
    isPublic: true,
  },
  {
    method: "get",
    path: "/health/ready",
    summary: "The database can be reached and has this version's schema",
    answer: Type.Object({ status: Type.Literal("ready") }),
    errors: [503],
    isPublic: true,
  },
];

const WORDS: Readonly<Record<number, string>> = {
  400: "What was asked for cannot be understood, or stands for something that is gone",
  401: "No access token, or one that the homeserver does not know",
  403: "The homeserver refuses, or it was asked for as another user",
  404: "Not there",
  408: "The body did not come in time",
  413: "The body is larger than 1 MiB",
  429: "Too many requests: come again after retry_after_ms",
  502: "The homeserver cannot be reached, and is needed",
  503: "Stopping, or the database is away: come again",
};

/** Adds the route. */
export function openApiRoute(version: string, operations: readonly Operation[]): RoutePlugin {
  const own: Operation = {
    method: "get",
    path: "/openapi.json",
    summary: "This document",
    answer: Type.Object({ openapi: Type.String() }),
    errors: [503],
    isPublic: true,
  };
  const text = JSON.stringify(openApi(version, [...operations, ...HEALTH, own]));
  return (app) => {
    app.get("/openapi.json", (_request, reply) => reply.type("application/json").send(text));
  };
}

function openApi(version: string, operations: readonly Operation[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) (paths[operation.path] ??= {})[operation.method] = sent(operation);
  return {
    openapi: "3.1.0",
    info: {
      title: "syncv3",
      version,
      description: "What this server answers itself. Everything else of the client-server API is the homeserver's, and passes through.",
    },
    paths,
    components: {
      securitySchemes: { accessToken: { type: "http", scheme: "bearer", description: "The access token of a Matrix device" } },
      schemas: {
        Error: {
          type: "object",
          required: ["errcode", "error"],
          properties: {
            errcode: { type: "string" },
            error: { type: "string" },
            retry_after_ms: { type: "integer", minimum: 0 },
            soft_logout: { type: "boolean" },
          },
        },
      },
    },
  };
}

function sent({ path, summary, query = {}, body, answer, errors, isPublic = false }: Operation): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => ({
    name: match[1],
    in: "path",
    required: true,
    schema: { type: "string", minLength: 1 },
  }));
  const inQuery = Object.entries(query).map(([name, schema]) => ({ name, in: "query", required: false, schema: jsonSchema(schema) }));
  const error = { "application/json": { schema: { $ref: "#/components/schemas/Error" } } };
  return {
    summary,
    ...(!isPublic && { security: [{ accessToken: [] }] }),
    ...(inPath.length + inQuery.length > 0 && { parameters: [...inPath, ...inQuery] }),
    ...(body && { requestBody: { required: false, content: { "application/json": { schema: jsonSchema(body) } } } }),
    responses: {
      200: { description: "As asked", content: { "application/json": { schema: jsonSchema(answer) } } },
      ...Object.fromEntries(errors.map((status) => [status, { description: WORDS[status] ?? "", content: error }])),
    },
  };
}

/** Plain JSON, in which tuples are written in the way that all drafts of JSON Schema understand. */
function jsonSchema(schema: TSchema): unknown {
  return JSON.parse(JSON.stringify(schema), (_, value: unknown) => {
    if (typeof value !== "object" || value === null || !("items" in value) || !Array.isArray(value.items)) return value;
    const [first] = value.items as unknown[];
    return { type: "array", items: first, minItems: value.items.length, maxItems: value.items.length };
  });
}
