/** Request bodies against their schemas (D5): one way to say what is wrong with which field, for every face. */

import { Ajv, type ErrorObject } from "ajv";
import type { Static, TSchema } from "typebox";
import { badJson, invalidParam } from "../wire/errors.ts";

const ajv = new Ajv({ coerceTypes: false, removeAdditional: false, useDefaults: false, strict: false });

/** What is wrong with a value of the right type. */
const BOUNDS: ReadonlySet<string | undefined> = new Set(["minimum", "maxLength"]);

/**
 * A check of bodies, which gives the body as what it is: throws MatrixError 400 M_BAD_JSON that names the field. `bounds`: M_INVALID_PARAM where a value of the right type is
 * out of its bounds.
 */
export function bodyCheck<Schema extends TSchema>(
  schema: Schema,
  { bounds = false }: { readonly bounds?: boolean } = {},
): (body: unknown) => Static<Schema> {
  const validate = ajv.compile(schema);
  return (body) => {
    if (validate(body)) return body as Static<Schema>;
    const error = mostSpecific(validate.errors ?? []);
    if (bounds && BOUNDS.has(error?.keyword)) throw invalidParam(`${fieldOf(error)} ${error?.message ?? "is out of bounds"}`);
    throw badJson(fieldOf(error), error?.instancePath === "" ? rootText(error) : (error?.message ?? "has the wrong type"));
  };
}

function rootText(error: ErrorObject): string {
  return error.keyword === "required" ? (error.message ?? "has the wrong type") : "The body must be a JSON object";
}

/** Of the alternatives' errors the deepest names the field; "must be null" is the alternative that nobody meant. */
function mostSpecific(errors: readonly ErrorObject[]): ErrorObject | undefined {
  const told = errors.filter((error) => error.keyword !== "anyOf" && error.params["type"] !== "null");
  return told.toSorted((a, b) => b.instancePath.split("/").length - a.instancePath.split("/").length)[0] ?? errors[0];
}

function fieldOf(error: ErrorObject | undefined): string {
  return (error?.instancePath ?? "")
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".");
}
