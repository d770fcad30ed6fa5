/** Changes one member of a JSON object in its text: everything else keeps its own bytes (`1.0`, 20-digit numbers, key order). */

import { withoutMembers } from "./json-scan.ts";

/**
 * `text`, which is one object and nothing else, with the top-level member `key` changed by `change`: given its text (undefined: there is
 * none; of duplicates the last), it returns the new text, or undefined to remove the member. A member that changes moves to the end.
 * @throws JsonSyntaxError, also if there is no object.
 */
export function withMember(text: string, key: string, change: (value: string | undefined) => string | undefined): string {
  const { text: rest, removed } = withoutMembers(text, new Set([key]));
  const before = removed.get(key);
  const after = change(before);
  if (after === before) return text;
  if (after === undefined) return rest;
  const end = rest.lastIndexOf("}");
  const remaining = rest.slice(0, end).trimEnd();
  return `${remaining}${remaining.endsWith("{") ? "" : ","}${JSON.stringify(key)}:${after}${rest.slice(end)}`;
}

/** `withMember` for an object inside: if the member is missing, or not an object, it is created. */
export function withObject(text: string, key: string, change: (value: string) => string): string {
  return withMember(text, key, (value) => change(value?.startsWith("{") === true ? value : "{}"));
}
