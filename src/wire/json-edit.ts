/** One member of a JSON object changed in its text: what is not changed keeps its own bytes (`1.0`, 20-digit numbers, key order). */

import { withoutMembers } from "./json-scan.ts";

/**
 * `text`, which is one object and nothing else, with the top-level member `key` as `change` has it: given its text (undefined: there is
 * none; of doubles the last), it returns the new text, or undefined for no such member. A member that changes moves to the end.
 * @throws JsonSyntaxError, also where there is no object.
 */
export function withMember(text: string, key: string, change: (value: string | undefined) => string | undefined): string {
  const { text: rest, removed } = withoutMembers(text, new Set([key]));
  const before = removed.get(key);
  const after = change(before);
  if (after === before) return text;
  if (after === undefined) return rest;
  const end = rest.lastIndexOf("}");
  const kept = rest.slice(0, end).trimEnd();
  return `${kept}${kept.endsWith("{") ? "" : ","}${JSON.stringify(key)}:${after}${rest.slice(end)}`;
}

/** `withMember` of an object inside: where the member is missing, or no object, it is made. */
export function withObject(text: string, key: string, change: (value: string) => string): string {
  return withMember(text, key, (value) => change(value?.startsWith("{") === true ? value : "{}"));
}
