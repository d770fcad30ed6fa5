/** An answer of `/v4/sync` (MSC4186 as merged). */

import type { SlidingAnswer } from "../evaluate.ts";
import { type ExtensionName, EXTENSIONS } from "../request.ts";
import type { RoomContent, RoomResult } from "../room-content.ts";
import type { SlidingReply } from "../sliding-engine.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { memberTexts } from "../../wire/json-scan.ts";
import { type Member, object, record } from "../../sync/json-text.ts";
import { answerBytes, type EventWriter, type FragmentCache, timelineMembers, pagingMembers } from "./room-text.ts";
import { profilesText } from "./profiles-text.ts";
import { stickyEventsText } from "./sticky-events-text.ts";
import { accountDataText, e2eeText, presenceText, threadsText, toDeviceText } from "./unstable-answer.ts";
import type { ExtensionNames } from "./v4-request.ts";

/** As JSON. `names`: the name that each enabled extension was asked with. */
export function v4Answer({ pos, answer }: SlidingReply, names: ExtensionNames, device: DeviceNo): Promise<Buffer> {
  const head = object([
    ["pos", JSON.stringify(pos)],
    answer.lists.size > 0 && ["lists", object([...answer.lists].map(([name, { count }]) => [name, `{"count":${count}}`]))],
    ["extensions", extensionsText(answer, names, device)],
  ]);
  return answerBytes(head, answer, device, { members: roomMembers, tail, fragments });
}

export const fragments: FragmentCache = new WeakMap();

export function roomMembers(room: RoomContent, event: EventWriter): (Member | false | undefined)[] {
  return [
    ["membership", JSON.stringify(room.membership)],
    room.bumpStamp !== undefined && ["bump_stamp", String(room.bumpStamp)],
    ...(isStripped(room) ? [["stripped_state", strippedText(room)] as const] : joinedMembers(room, event)),
  ];
}

function tail(room: RoomResult): (Member | false | undefined)[] {
  return [room.lists.length > 0 && ["lists", JSON.stringify(room.lists)], ...(isStripped(room.content) ? [] : pagingMembers(room))];
}

/** Of a room that the user was never in, only stripped state is known, also after the invite was rejected. */
export function isStripped(room: RoomContent): boolean {
  return room.stripped !== undefined || (!room.everJoined && room.membership !== "join");
}

function strippedText(room: RoomContent): string {
  if (room.stripped !== undefined) return room.stripped;
  return `[${room.requiredState.map(({ body }) => strippedEvent(body)).join(",")}]`;
}

/** As text, because the nesting of a homeserver's JSON is not bounded (N5). */
function strippedEvent(body: string): string {
  const members = memberTexts(body);
  return object(["type", "state_key", "sender", "content"].map((key) => members.has(key) && [key, members.get(key) ?? "null"]));
}

function joinedMembers(room: RoomContent, event: EventWriter): (Member | false | undefined)[] {
  const { timeline } = room;
  const stubs = room.stubs.map((stub) => JSON.stringify(stub));
  const state = [...room.requiredState.map(event), ...stubs];
  return [
    room.initial && ["initial", "true"],
    room.name !== undefined && ["name", JSON.stringify(room.name)],
    room.avatar !== undefined && ["avatar", JSON.stringify(room.avatar)],
    room.heroes !== undefined && room.heroes.length > 0 && ["heroes", JSON.stringify(room.heroes)],
    room.isDm !== undefined && (room.isDm || !room.initial) && ["is_dm", String(room.isDm)],
    room.joinedCount !== undefined && ["joined_count", String(room.joinedCount)],
    room.invitedCount !== undefined && ["invited_count", String(room.invitedCount)],
    state.length > 0 && ["required_state", `[${state.join(",")}]`],
    room.expanded && ["expanded_timeline", "true"],
    ...timelineMembers(timeline, timeline?.limited, event),
  ];
}

/** null: there is nothing to send. */
const SECTIONS: Readonly<Record<ExtensionName, (answer: SlidingAnswer, device: DeviceNo) => string | null>> = {
  toDevice: ({ toDevice }, device) => toDevice && toDeviceText(toDevice, device),
  e2ee: ({ e2ee }) => e2ee && e2eeText(e2ee),
  accountData: ({ accountData }) => accountDataText(accountData),
  profiles: profilesText,
  receipts: ({ receipts }) => `{"rooms":${record(receipts, (content) => content)}}`,
  stickyEvents: stickyEventsText,
  typing: ({ typing }) => `{"rooms":${record(typing, (users) => `{"user_ids":${users}}`)}}`,
  presence: presenceText,
  threads: ({ threads }) => (threads.changes.length > 0 ? threadsText(threads) : null),
};

export function extensionsText(answer: SlidingAnswer, names: ExtensionNames, device: DeviceNo): string {
  const sections = EXTENSIONS.map((extension): Member | false => {
    const name = names[extension];
    const text = name === undefined ? null : SECTIONS[extension](answer, device);
    return name !== undefined && text !== null && [name, text];
  });
  return object(sections);
}
