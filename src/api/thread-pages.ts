/**
 * The companion endpoint of the thread subscriptions extension (MSC4308). A `from` that one of our answers had is answered from what is stored. All
 * other requests are the homeserver's.
 */

import { isOurs } from "../sliding/pos.ts";
import { invalidParam } from "../wire/errors.ts";
import { queryValue, withQuery } from "./paging-request.ts";

const [DEFAULT_LIMIT, MAX_LIMIT] = [100, 500];
const PATHS: ReadonlySet<string> = new Set([
  "_matrix/client/unstable/io.element.msc4308/thread_subscriptions",
  "_matrix/client/v1/thread_subscriptions",
]);

export function asksThreads(method: string, segments: readonly string[]): boolean {
  return method === "GET" && PATHS.has(segments.join("/"));
}

/** What is asked for; null: it does not begin where one of our answers ended. @throws MatrixError 400 M_INVALID_PARAM */
export function threadsAsked(target: string): { readonly from: string; readonly limit: number } | null {
  const from = queryValue(target, "from");
  if (from === null || !isOurs(from)) return null;
  if (queryValue(target, "dir") !== "b") throw invalidParam("dir must be b");
  const limit = queryValue(target, "limit") ?? String(DEFAULT_LIMIT);
  if (!/^\d{1,9}$/.test(limit) || Number(limit) === 0) throw invalidParam("limit must be a positive integer");
  return { from, limit: Math.min(Number(limit), MAX_LIMIT) };
}

/** The request as the homeserver understands it: it does not know our positions, so that without `to` it goes back further than that. */
export function withoutOurPos(target: string): string {
  const to = queryValue(target, "to");
  return to !== null && isOurs(to) ? withQuery(target, "to", null) : target;
}
