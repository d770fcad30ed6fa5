/** Requests that take pagination tokens, and the tokens in their queries. */

import type { RoomId } from "../wire/ids.ts";
import { clientSegments } from "./proxy-path.ts";

export type PagingRequest = {
  readonly kind: "messages" | "relations" | "threads" | "key-changes";
  /** The room whose history is asked for; null for `key-changes`, which concerns no room. */
  readonly room: RoomId | null;
};

/** null: the request takes no pagination token. */
export function pagingRequest(method: string, target: string): PagingRequest | null {
  const path = method === "GET" ? clientSegments(target) : null;
  const [first, second, third] = path ?? [];
  if (first === "keys" && second === "changes" && path?.length === 2) return { kind: "key-changes", room: null };
  if (first !== "rooms" || !path) return null;
  const room = second as RoomId;
  if ((third === "messages" || third === "threads") && path.length === 3) return { kind: third, room };
  return third === "relations" && path.length >= 4 ? { kind: third, room } : null;
}

/** The decoded value of the first query parameter with that name; null: there is none. */
export function queryValue(target: string, name: string): string | null {
  return new URLSearchParams(target.split("?").slice(1).join("?")).get(name);
}

/** The parameters that say on whose behalf a request is made, for further requests on the same behalf. */
export function credentialsIn(target: string): Record<string, string> {
  return Object.fromEntries(
    ["access_token", "user_id"].flatMap((name) => {
      const value = queryValue(target, name);
      return value === null ? [] : [[name, value]];
    }),
  );
}

/** The target with that parameter set or removed (null); all other bytes stay the same. */
export function withQuery(target: string, name: string, value: string | null): string {
  const [path = "", ...query] = target.split("?");
  const others = query
    .join("?")
    .split("&")
    .filter((pair) => pair !== "" && !new URLSearchParams(pair).has(name));
  const pairs = value === null ? others : [...others, `${name}=${encodeURIComponent(value)}`];
  return pairs.length > 0 ? `${path}?${pairs.join("&")}` : path;
}
