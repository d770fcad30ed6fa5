/** Checks request bodies against their schemas (D5), so that every face names the wrong field in the same way. */

import { Ajv, type ErrorObject } from "ajv";
import type { Static, TSchema } from "typebox";
import { badJson, invalidParam } from "../wire/errors.ts";

const ajv = new Ajv({ coerceTypes: false, removeAdditional: false, useDefaults: false, strict: false });

/** Errors about a value of the right type. */
const BOUNDS: ReadonlySet<string | undefined> = new Set(["minimum", "maxLength"]);

/**
 * A check that returns the body with the type of its schema. It throws MatrixError 400 M_BAD_JSON that names the field; with `bounds`,
 * M_INVALID_PARAM for a value of the right type that is out of its bounds. Of the fields in `parameters`, any wrong value is M_INVALID_PARAM.
 */
export function bodyCheck<Schema extends TSchema>(
  schema: Schema,
  { bounds = false, parameters }: { readonly bounds?: boolean; readonly parameters?: ReadonlySet<string> } = {},
): (body: unknown) => Static<Schema> {
  const validate = ajv.compile(schema);
  return (body) => {
    if (validate(body)) return body as Static<Schema>;
    const error = mostSpecific(validate.errors ?? []);
    const isInvalid = (bounds && BOUNDS.has(error?.keyword)) || parameters?.has(fieldOf(error));
    if (isInvalid) throw invalidParam(`${fieldOf(error)} ${error?.message ?? "is out of bounds"}`);
    throw badJson(fieldOf(error), error?.instancePath === "" ? rootText(error) : (error?.message ?? "has the wrong type"));
  };
}

function rootText(error: ErrorObject): string {
  return error.keyword === "required" ? (error.message ?? "has the wrong type") : "The body must be a JSON object";
}

/** The deepest error of the alternatives names the field. "must be null" is skipped: no client meant that alternative. */
function mostSpecific(errors: readonly ErrorObject[]): ErrorObject | undefined {
  const sent = errors.filter((error) => error.keyword !== "anyOf" && error.params["type"] !== "null");
  return sent.toSorted((a, b) => b.instancePath.split("/").length - a.instancePath.split("/").length)[0] ?? errors[0];
}

function fieldOf(error: ErrorObject | undefined): string {
  return (error?.instancePath ?? "")
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".");
}
