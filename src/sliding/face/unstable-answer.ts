/** An answer in the dialect of `org.matrix.simplified_msc3575`. */

import type { SlidingAnswer } from "../evaluate.ts";
import { type ExtensionName, EXTENSIONS, type SlidingExtensions } from "../request.ts";
import type { RoomContent } from "../room-content.ts";
import type { SlidingReply } from "../sliding-engine.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { THREADS_EXTENSION, threadMembers } from "../../wire/thread-subscriptions.ts";
import { type Member, object, record } from "../../sync/json-text.ts";
import { answerBytes, type EventWriter, type FragmentCache, timelineMembers, pagingMembers } from "./room-text.ts";
import { threadsToken } from "../threads-token.ts";
import { profilesText } from "./profiles-text.ts";
import { stickyEventsText } from "./sticky-events-text.ts";
import { sealSince } from "./to-device-since.ts";
import type { UnstableRequest } from "./unstable-request.ts";

/** As JSON. Each extension that was asked for has a section; those of profiles and sticky events only if there are new ones. */
export function unstableAnswer({ pos, answer }: SlidingReply, { body, txnId }: UnstableRequest, device: DeviceNo): Promise<Buffer> {
  const head = object([
    ["pos", JSON.stringify(pos)],
    txnId !== null && ["txn_id", JSON.stringify(txnId.toWellFormed())],
    answer.lists.size > 0 && ["lists", listsText(answer)],
    ["extensions", extensionsText(answer, body.extensions, device)],
  ]);
  const isJsSdk = body.sticky !== null;
  const members = (content: RoomContent, event: EventWriter) => roomMembers(content, isJsSdk, event);
  return answerBytes(head, answer, device, { members, tail: pagingMembers, fragments: isJsSdk ? fragmentsForJsSdk : fragments });
}

export const fragments: FragmentCache = new WeakMap();
const fragmentsForJsSdk: FragmentCache = new WeakMap();

function listsText({ lists }: SlidingAnswer): string {
  const ops = (windows: Iterable<{ readonly range: readonly [number, number]; readonly rooms: readonly string[] }>) =>
    [...windows].map(({ range, rooms }) => ({ op: "SYNC", range, room_ids: rooms }));
  return object([...lists].map(([name, { count, windows }]) => [name.toWellFormed(), JSON.stringify({ count, ops: ops(windows) })]));
}

/** @param isJsSdk matrix-js-sdk takes an expanded timeline for new events unless it is also `limited` */
export function roomMembers(room: RoomContent, isJsSdk: boolean, event: EventWriter): (Member | false | undefined)[] {
  const { counts, timeline } = room;
  return [
    room.initial && ["initial", "true"],
    typeof room.name === "string" && ["name", JSON.stringify(room.name)],
    room.avatar !== undefined && ["avatar", JSON.stringify(room.avatar)],
    room.heroes !== undefined && room.heroes.length > 0 && ["heroes", JSON.stringify(room.heroes)],
    room.isDm === true && ["is_dm", "true"],
    room.joinedCount !== undefined && ["joined_count", String(room.joinedCount)],
    room.invitedCount !== undefined && ["invited_count", String(room.invitedCount)],
    room.bumpStamp !== undefined && ["bump_stamp", String(room.bumpStamp)],
    counts && ["notification_count", String(counts.notifications)],
    counts && ["highlight_count", String(counts.highlights)],
    room.stripped !== undefined && ["invite_state", room.stripped],
    room.requiredState.length > 0 && ["required_state", `[${room.requiredState.map(event).join(",")}]`],
    room.expanded && ["unstable_expanded_timeline", "true"],
    ...timelineMembers(timeline, timeline && (timeline.limited || (isJsSdk && room.expanded)), event),
  ];
}

/** null: there is nothing to send. */
const SECTIONS: Readonly<Record<ExtensionName, (answer: SlidingAnswer, device: DeviceNo) => Member | null | false>> = {
  toDevice: ({ toDevice }, device) => toDevice && ["to_device", toDeviceText(toDevice, device)],
  e2ee: ({ e2ee }) => e2ee && ["e2ee", e2eeText(e2ee)],
  accountData: ({ accountData }) => ["account_data", accountDataText(accountData)],
  profiles: (answer) => named("org.matrix.msc4262.profiles", profilesText(answer)),
  receipts: ({ receipts }) => ["receipts", `{"rooms":${record(receipts, (content) => `{"type":"m.receipt","content":${content}}`)}}`],
  stickyEvents: (answer, device) => named("org.matrix.msc4354.sticky_events", stickyEventsText(answer, device)),
  typing: ({ typing }) => ["typing", `{"rooms":${record(typing, (users) => `{"type":"m.typing","content":{"user_ids":${users}}}`)}}`],
  presence: (answer) => ["presence", presenceText(answer)],
  threads: ({ threads }) => threads.changes.length > 0 && [THREADS_EXTENSION, threadsText(threads)],
};

export function threadsText({ changes, left }: SlidingAnswer["threads"]): string {
  return object([...threadMembers(changes), left && ["prev_batch", JSON.stringify(threadsToken(left))]]);
}

export function presenceText({ presence }: SlidingAnswer): string {
  return `{"events":[${presence.join(",")}]}`;
}

function named(name: string, section: string | null): Member | null {
  return section === null ? null : [name, section];
}

export function extensionsText(answer: SlidingAnswer, asked: SlidingExtensions, device: DeviceNo): string {
  return object(EXTENSIONS.map((extension) => asked[extension] !== undefined && SECTIONS[extension](answer, device)));
}

export function toDeviceText(result: NonNullable<SlidingAnswer["toDevice"]>, device: DeviceNo): string {
  return `{"next_batch":${JSON.stringify(sealSince(device, result.next))},"events":[${result.events.join(",")}]}`;
}

export function e2eeText({ changed, left, oneTimeKeys, fallbackKeys }: NonNullable<SlidingAnswer["e2ee"]>): string {
  return object([
    changed.length + left.length > 0 && ["device_lists", JSON.stringify({ changed, left })],
    oneTimeKeys !== null && ["device_one_time_keys_count", oneTimeKeys],
    fallbackKeys !== null && ["device_unused_fallback_key_types", fallbackKeys],
  ]);
}

export function accountDataText({ global, rooms }: SlidingAnswer["accountData"]): string {
  return `{"global":[${global.join(",")}],"rooms":${record(rooms, (events) => `[${events.join(",")}]`)}}`;
}
