/** Answers to log-ins, which tell clients a homeserver address in `well_known`. */

import { withMember } from "../wire/json-edit.ts";
import type { Edit } from "./json-answer.ts";
import { clientSegments } from "./proxy-path.ts";
import { withOwnAddress } from "./well-known.ts";

/** Whether a request is a log-in or a registration. */
export function logsIn(method: string, target: string): boolean {
  if (method !== "POST") return false;
  const path = clientSegments(target)?.join("/");
  return path === "login" || path === "register";
}

/**
 * The edit of the answer: our address in place of the homeserver's, or no `well_known` if ours is unknown. Otherwise the client would use the
 * homeserver directly from the log-in on.
 */
export function editLogin(publicUrl: string | null): Edit {
  return (text) => withMember(text, "well_known", (file) => (file === undefined || publicUrl === null ? undefined : withOwnAddress(file, publicUrl)));
}
