/** Cuts answers of the homeserver about a room's history, state and members into the events' own texts. */

import { isStorable } from "../wire/ids.ts";
import { eachElement, eachMember, JsonSyntaxError } from "../wire/json-scan.ts";

function tokenOf(value: unknown): string | null {
  return typeof value === "string" && isStorable(value) ? value : null;
}

/** `chunk`, `state` (event texts) and `end` of an answer of /members, /messages or /context. */
export function cutAnswer(text: string): { chunk: string[]; state: string[]; end: string | null } {
  const chunk: string[] = [];
  const state: string[] = [];
  let end: string | null = null;
  const list = (start: number, into: string[]) => {
    if (text[start] === "[") eachElement(text, start, (from, to) => void into.push(text.slice(from, to)));
  };
  try {
    eachMember(text, 0, (key, start, stop) => {
      if (key === "chunk") list(start, chunk);
      else if (key === "state") list(start, state);
      else if (key === "end") end = tokenOf(JSON.parse(text.slice(start, stop)));
    });
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new Error("the homeserver's answer is not JSON", { cause: error });
    throw error;
  }
  return { chunk, state, end };
}
