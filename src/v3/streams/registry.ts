/** All streams, in the order in which an answer is made: streams come after those that they depend on. */

import { accountData } from "./account-data.ts";
import { e2ee } from "./e2ee.ts";
import { feed } from "./feed.ts";
import { invites } from "./invites.ts";
import { presence } from "./presence.ts";
import { receipts } from "./receipts.ts";
import { roomList } from "./room-list.ts";
import { roomMembers } from "./room-members.ts";
import { room } from "./room.ts";
import type { StreamKey } from "../params.ts";
import type { AnyStream } from "./stream.ts";
import { toDevice } from "./to-device.ts";
import { typing } from "./typing.ts";

/**
 * Evaluated one after the other. to_device is first, since it limits how far the others may advance (D19); then room_list, whose active set is what
 * `"room_list"` means in the other streams.
 */
export const LEADING_STREAMS: readonly AnyStream[] = [toDevice, roomList];

/** Independent of each other. */
export const FOLLOWING_STREAMS: readonly AnyStream[] = [feed, room, roomMembers, typing, accountData, receipts, presence, invites, e2ee];

export const STREAMS: readonly AnyStream[] = [...LEADING_STREAMS, ...FOLLOWING_STREAMS];

const KEYS: ReadonlySet<string> = new Set(STREAMS.map((stream) => stream.key));

export function isStreamKey(key: string): key is StreamKey {
  return KEYS.has(key);
}
