/** An answer of `/v4/sync` (MSC4186 as merged). */

import type { SlidingAnswer } from "../../engine/sliding/evaluate.ts";
import type { RoomResult } from "../../engine/sliding/room-results.ts";
import type { SlidingReply } from "../../engine/sliding/sliding-engine.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { object, record } from "./json-text.ts";
import { accountDataText, e2eeText, timelineMembers, toDeviceText } from "./unstable-answer.ts";
import type { ExtensionNames } from "./v4-request.ts";

/** As JSON text. `names`: by enabled extension the name that it was asked with. */
export function v4Answer({ pos, answer }: SlidingReply, names: ExtensionNames, device: DeviceNo): string {
  return object([
    ["pos", JSON.stringify(pos)],
    answer.lists.size > 0 && ["lists", object([...answer.lists].map(([name, { count }]) => [name, `{"count":${count}}`]))],
    ["rooms", object(answer.rooms.map((room) => [room.roomId, roomText(room)]))],
    ["extensions", extensionsText(answer, names, device)],
  ]);
}

function roomText(room: RoomResult): string {
  return object([
    ["membership", JSON.stringify(room.membership)],
    room.lists.length > 0 && ["lists", JSON.stringify(room.lists)],
    room.bumpStamp !== undefined && ["bump_stamp", String(room.bumpStamp)],
    ...(isStripped(room) ? [["stripped_state", strippedText(room)] as const] : joinedMembers(room)),
  ]);
}

/** Of a room that the user has never been in there is stripped state alone, also where the invite was rejected. */
function isStripped(room: RoomResult): boolean {
  return room.stripped !== undefined || (!room.everJoined && room.membership !== "join");
}

function strippedText(room: RoomResult): string {
  if (room.stripped !== undefined) return room.stripped;
  const events = room.requiredState.map((text) => JSON.parse(text) as Record<string, unknown>);
  return JSON.stringify(events.map(({ type, state_key, sender, content }) => ({ type, state_key, sender, content })));
}

function joinedMembers(room: RoomResult) {
  const stubs = room.stubs.map((stub) => JSON.stringify(stub));
  const state = [...room.requiredState, ...stubs];
  return [
    room.initial && (["initial", "true"] as const),
    room.name !== undefined && (["name", JSON.stringify(room.name)] as const),
    room.avatar !== undefined && (["avatar", JSON.stringify(room.avatar)] as const),
    room.heroes !== undefined && room.heroes.length > 0 && (["heroes", JSON.stringify(room.heroes)] as const),
    room.isDm !== undefined && (room.isDm || !room.initial) && (["is_dm", String(room.isDm)] as const),
    room.joinedCount !== undefined && (["joined_count", String(room.joinedCount)] as const),
    room.invitedCount !== undefined && (["invited_count", String(room.invitedCount)] as const),
    state.length > 0 && (["required_state", `[${state.join(",")}]`] as const),
    room.expanded && (["expanded_timeline", "true"] as const),
    ...timelineMembers(room.timeline),
  ];
}

function extensionsText({ toDevice, e2ee, accountData, receipts, typing }: SlidingAnswer, names: ExtensionNames, device: DeviceNo): string {
  return object([
    names.toDevice !== undefined && toDevice && [names.toDevice, toDeviceText(toDevice, device)],
    names.e2ee !== undefined && e2ee && [names.e2ee, e2eeText(e2ee)],
    names.accountData !== undefined && [names.accountData, accountDataText(accountData)],
    names.receipts !== undefined && [names.receipts, `{"rooms":${record(receipts, (content) => content)}}`],
    names.typing !== undefined && [names.typing, `{"rooms":${record(typing, (users) => `{"user_ids":${users}}`)}}`],
  ]);
}
