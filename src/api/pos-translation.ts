/**
 * Positions of sliding sync as tokens of the homeserver's own API: `/messages`, `/relations` and `/keys/changes` accept a `pos` (MSC4186), and here
 * `/threads` does too. In queries it is replaced by the upstream token that it stands for.
 */

import { isOurs } from "../sliding/pos.ts";
import { pagingRequest } from "./paging-request.ts";

const PARAMETERS: ReadonlySet<string> = new Set(["from", "to"]);

/** Tokens in a request's query that look like ours; none for requests that take no such token. */
export function ourTokens(method: string, target: string): string[] {
  if (!pagingRequest(method, target)) return [];
  return pairsOf(target).flatMap((pair) => tokenOf(pair) ?? []);
}

/** The target with our tokens replaced; all other bytes stay the same. `replace` returns null for a token that is not ours. */
export async function withTokens(target: string, replace: (token: string) => Promise<string | null> | string | null): Promise<string> {
  const pairs = pairsOf(target);
  for (const [index, pair] of pairs.entries()) {
    const token = tokenOf(pair);
    const other = token === null ? null : await replace(token);
    if (other !== null) pairs[index] = `${pair.slice(0, pair.indexOf("=") + 1)}${encodeURIComponent(other)}`;
  }
  return `${target.slice(0, target.indexOf("?") + 1)}${pairs.join("&")}`;
}

function pairsOf(target: string): string[] {
  const at = target.indexOf("?");
  return at < 0 ? [] : target.slice(at + 1).split("&");
}

/** The value of `from` or `to` if it looks like ours. */
function tokenOf(pair: string): string | null {
  const [[name, value] = []] = new URLSearchParams(pair);
  return name !== undefined && value !== undefined && PARAMETERS.has(name) && isOurs(value) ? value : null;
}
