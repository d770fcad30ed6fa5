/**
 * Some clients send the unstable dialect's body to `/v4/sync`. Its parts mean nothing there, and would be ignored as any unknown key: with
 * `ranges` left out, a list holds all rooms. Such a client could not read the answers of v4 either, so it is told what to send instead, or where.
 */

import { badJson } from "../../wire/errors.ts";
import { UNSTABLE_PATH } from "./unstable-request.ts";

const STATE = '{"include": [{"type": …, "state_key": …}], "lazy_members": true}';

/** What is not an object is left to the check of the body. @throws MatrixError 400 M_BAD_JSON that names the field, and what v4 has instead */
export function refuseOlderForm(json: unknown): void {
  const body = membersOf(json);
  for (const [name, list] of Object.entries(membersOf(body["lists"]))) {
    const { range, ranges, required_state, filters } = membersOf(list);
    const { is_invite, is_invited } = membersOf(filters);
    if (ranges !== undefined && range === undefined) throw instead(`lists.${name}.ranges`, "`range`, one pair [first, last]");
    if (Array.isArray(required_state)) throw instead(`lists.${name}.required_state`, STATE);
    if (is_invite !== undefined && is_invited === undefined) throw instead(`lists.${name}.filters.is_invite`, "`is_invited`");
  }
  for (const [roomId, config] of Object.entries(membersOf(body["room_subscriptions"]))) {
    if (Array.isArray(membersOf(config)["required_state"])) throw instead(`room_subscriptions.${roomId}.required_state`, STATE);
  }
}

function instead(field: string, text: string) {
  return badJson(field, `send ${text}; the older form of requests is served at ${UNSTABLE_PATH}`);
}

function membersOf(json: unknown): Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : {};
}
