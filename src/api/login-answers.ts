/** Answers to log-ins, whose `well_known` clients follow from then on. */

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
 * The edit of the answer: our address in place of the homeserver's, or no `well_known` where we do not know ours. Otherwise the
 * client would leave us for the homeserver as it logs in.
 */
export function editLogin(publicUrl: string | null): Edit {
  return (text) => withMember(text, "well_known", (file) => (file === undefined || publicUrl === null ? undefined : withOwnAddress(file, publicUrl)));
}
