/** Whether answers are what `/openapi.json` and the client library's types say: nothing else is in them, nothing is missing. */

import { Ajv, type ValidateFunction } from "ajv";
import { pagedAnswerSchema, unstableAnswerSchema, v4AnswerSchema } from "../../src/sliding/face/answer-schemas.ts";
import { PAGED_PATH } from "../../src/sliding/face/paged-request.ts";
import { syncAnswerSchema } from "../../src/v3/face/answer-schema.ts";
import { recordAnswer } from "./answer-record.ts";
import { strictFault, UNSTABLE_PATH } from "./strict-answer.ts";

const ajv = new Ajv({ strict: false });
const SCHEMAS: Readonly<Record<string, object>> = {
  "/_matrix/client/v3/sync": syncAnswerSchema,
  "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync": unstableAnswerSchema,
  "/_matrix/client/v4/sync": v4AnswerSchema,
  [PAGED_PATH]: pagedAnswerSchema,
};
const checks = new Map<string, ValidateFunction>();

/** @param body of the answer to a POST to the path, which may have a query. @throws where it is not as it is said to be */
export function checkAnswer(pathAndQuery: string, body: unknown): void {
  const path = pathAndQuery.split("?")[0] ?? "";
  const schema = SCHEMAS[path];
  if (!schema) return;
  const check = checks.get(path) ?? ajv.compile(closed(schema));
  checks.set(path, check);
  if (!check(body)) throw new Error(`An answer of ${path} is not as documented: ${ajv.errorsText(check.errors, { dataVar: "" })}`);
}

/**
 * N6: whatever the homeserver tells, strict clients can read the answer.
 * @param text of the answer to a POST to the path, as it came
 * @throws where one could not
 */
export function checkStrict(pathAndQuery: string, text: string): void {
  const path = pathAndQuery.split("?")[0] ?? "";
  if (path === UNSTABLE_PATH) recordAnswer(text);
  const fault = strictFault(path, text);
  if (fault !== null) throw new Error(`A strict client cannot read an answer of ${path}: ${fault}`);
}

/** The schema, with no members but those that it names, where it does not say that there may be others. */
function closed(schema: object): object {
  return JSON.parse(JSON.stringify(schema), (_, value: unknown) => {
    const isObject = typeof value === "object" && value !== null && "type" in value && "properties" in value;
    return isObject && value.type === "object" && !("additionalProperties" in value) ? { ...value, additionalProperties: false } : value;
  }) as object;
}
