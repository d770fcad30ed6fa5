/** How long a client wants to wait (D6). The rules are the same for every face. */

import Type from "typebox";
import { invalidParam } from "../wire/errors.ts";

/** ms. */
const MAX_TIMEOUT = 300_000;

/** A `timeout` of the query: milliseconds, at most 300 000; absent is 0. @throws MatrixError 400 M_INVALID_PARAM. */
export function readTimeout(text: string | null): number {
  if (text === null) return 0;
  if (!/^\d+$/.test(text)) throw invalidParam("timeout must be a number of milliseconds, 0 or more");
  return clampTimeout(Number(text));
}

export function clampTimeout(ms: number): number {
  return Math.min(ms, MAX_TIMEOUT);
}

/** The schema of the query parameter. */
export const timeoutSchema = Type.Integer({ minimum: 0, description: "How long to wait for news, ms, at most 300 000. 0 and absent: not at all" });
