/**
 * Which texts strict clients accept as ids (N6). The rules are ruma's: everything that ruma parses passes, historical and opaque ids too.
 * Events are not checked with these, because to clients they are raw JSON. Ids that we write into answers ourselves are.
 */

import { isIPv6 } from "node:net";
import { isIdentifier } from "./identifier.ts";
import type { EventId, RoomId, UserId } from "./ids.ts";

/** A host name or an IPv6 literal, with or without a port. */
const SERVER_NAME = /^(?:[A-Za-z0-9.-]+|\[([^\]]*)\])(?::\+?(\d+))?$/;
const MAX_PORT = 65_535;

/** Nearly all ids have this form and need no closer check: ASCII, shorter than the limit, a plain server name. */
const USUAL_USER = /^@[!-9;-~]{0,100}:[A-Za-z0-9.-]{1,100}(?::[0-9]{1,4})?$/;
const USUAL_ROOM = /^![!-~]{0,200}$/;
const USUAL_EVENT = /^\$[!-9;-~]{0,200}$/;

/** `@local:server`: any local part, a possible server name; at most 255 bytes. */
export function isUserId(value: unknown): value is UserId {
  return typeof value === "string" && (USUAL_USER.test(value) || (isIdentifier(value) && value.startsWith("@") && hasServerName(value)));
}

/** `!…`: room ids from room version 12 on have no server name. At most 255 bytes. */
export function isRoomId(value: unknown): value is RoomId {
  return typeof value === "string" && (USUAL_ROOM.test(value) || (isIdentifier(value) && value.startsWith("!")));
}

/** `$…`: event ids from room version 3 on have no server name; after a colon there must be one. At most 255 bytes. */
export function isEventId(value: unknown): value is EventId {
  return typeof value === "string" && (USUAL_EVENT.test(value) || isUnusualEventId(value));
}

function isUnusualEventId(value: string): boolean {
  return isIdentifier(value) && value.startsWith("$") && (!value.includes(":") || hasServerName(value));
}

/** Whether what follows the first colon is a server name. */
function hasServerName(id: string): boolean {
  const colon = id.indexOf(":");
  const match = colon < 0 ? null : SERVER_NAME.exec(id.slice(colon + 1));
  if (!match) return false;
  const [, ipv6, port] = match;
  // Node accepts an address with a zone ("fe80::1%eth0"), which means nothing to other hosts.
  if (ipv6 !== undefined && (ipv6.includes("%") || !isIPv6(ipv6))) return false;
  return port === undefined || Number(port) <= MAX_PORT;
}
