/** What an answer lacks and the homeserver has. */

import type { RoomId } from "../wire/ids.ts";

/** Something that must be fetched from the homeserver. */
export type Need =
  | { readonly kind: "members"; readonly roomId: RoomId }
  | { readonly kind: "older"; readonly roomId: RoomId; readonly count: number };

export function needKey(need: Need): string {
  return `${need.kind} ${need.roomId}`;
}
