/** Writes answers of sync v3 as JSON text (R13). Events stay the text that they are stored as. */

import { Slices } from "../../base/slices.ts";
import { type EventRow, rowText } from "../../store/event-row.ts";
import { type Member, object, record } from "../../sync/json-text.ts";
import { receiptContents } from "../../sync/receipt-contents.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import type { StreamKey } from "../params.ts";
import type { Answers, Entry, FeedEntry, ListAnswer, MembersAnswer, Notification, RoomAnswer, SyncAnswer } from "../streams/answers.ts";

type Optional = Member | false | undefined;
/** Writes an event, with its age. */
type EventText = (row: EventRow) => string;

/** @param device the device that gets the answer: only its own transaction ids are in it */
export async function answerText({ parts, complete, next, now }: SyncAnswer, device: DeviceNo): Promise<string> {
  const event: EventText = (row) => rowText(row, device, now);
  const members: Optional[] = [];
  for (const { key, answer } of parts) members.push([key, await partText(key, answer, event)]);
  return object([...members, !complete && ["initial_sync", '"in_progress"'], ["next", JSON.stringify(next)]]);
}

type Writers = { readonly [Key in StreamKey]: (answer: Answers[Key], event: EventText) => string | Promise<string> };

const WRITERS: Writers = {
  to_device: ({ limit, events }) => `{"limit":${limit},"events":${list(events)}}`,
  feed: ({ limit, entries }, event) => `{"limit":${limit},"entries":${list(entries.map((entry) => feedText(entry, event)))}}`,
  room_list: listText,
  room: roomsText,
  room_members: ({ events, p, forbidden }, event) => object([...membersMembers({ events, p }, event), ...refusal(forbidden)]),
  typing: ({ sets, forbidden }) => object([sets && ["events", list(sets.map(typingText))], ...refusal(forbidden)]),
  receipts: ({ rows, forbidden }) => object([rows && ["rooms", record(receiptContents(rows), receiptText)], ...refusal(forbidden)]),
  account_data: ({ global, rooms }) => object([global && ["global", list(global)], rooms && ["rooms", record(rooms, list)]]),
  presence: ({ events }) => `{"events":${list(events)}}`,
  invites: ({ pending, gone }) =>
    object([
      pending && ["rooms", object(pending.map(({ room_id, kind, body }) => [room_id, `{"${kind}_state":${body}}`]))],
      gone && ["gone", JSON.stringify(gone)],
    ]),
  e2ee: ({ lists, keys }) =>
    object([
      lists && ["device_lists", JSON.stringify(lists)],
      keys && ["device_one_time_keys_count", keys.oneTime],
      keys && keys.fallback !== null && ["device_unused_fallback_key_types", keys.fallback],
    ]),
};

function partText<Key extends StreamKey>(key: Key, answer: Answers[Key], event: EventText): string | Promise<string> {
  const write: Writers[Key] = WRITERS[key];
  return write(answer, event);
}

function list(texts: readonly string[]): string {
  return `[${texts.join(",")}]`;
}

/** The user may not see the room (D18). */
function refusal(forbidden: true | undefined): Optional[] {
  if (!forbidden) return [];
  return [
    ["errcode", '"M_FORBIDDEN"'],
    ["error", '"You are not joined to this room"'],
  ];
}

function feedText(entry: FeedEntry, event: EventText): string {
  if ("event" in entry) return `{"place":${entry.place},"event":${event(entry.event)}}`;
  const { roomId, after, before, prevBatch } = entry.gap;
  const gap = object([
    ["room_id", JSON.stringify(roomId)],
    after !== null && ["after", JSON.stringify(after)],
    before !== null && ["before", JSON.stringify(before)],
    ["prev_batch", JSON.stringify(prevBatch)],
  ]);
  return `{"place":${entry.place},"gap":${gap}}`;
}

function typingText({ room_id, users }: { readonly room_id: string; readonly users: string }): string {
  return `{"type":"m.typing","room_id":${JSON.stringify(room_id)},"content":{"user_ids":${users}}}`;
}

function receiptText(content: string): string {
  return `{"type":"m.receipt","content":${content}}`;
}

function membersMembers(
  { events, p }: { readonly events?: MembersAnswer["events"] | undefined; readonly p?: MembersAnswer["p"] | undefined },
  event: EventText,
): Optional[] {
  return [events && ["events", list(events.map(event))], p && ["p", JSON.stringify(p)]];
}

async function roomsText({ rooms, forbidden }: Answers["room"], event: EventText): Promise<string> {
  const slices = new Slices();
  const members: Member[] = [];
  for (const [roomId, room] of rooms ?? []) {
    if (slices.isDue) await slices.pause();
    members.push([roomId, roomText(room, event)]);
  }
  return object([rooms && ["rooms", object(members)], ...refusal(forbidden)]);
}

function roomText({ initial, state, members, timeline, counts }: RoomAnswer, event: EventText): string {
  return object([
    initial && ["initial", "true"],
    state && [
      "state",
      object([["events", list(state.events.map(event))], state.before !== undefined && ["state_before", JSON.stringify(state.before)]]),
    ],
    members && ["members", object(membersMembers(members, event))],
    timeline && [
      "timeline",
      `{"events":${list(timeline.events.map(event))},"limited":${timeline.limited},"prev_batch":${JSON.stringify(timeline.prevBatch)}}`,
    ],
    ...counts.map(([key, count]): Member => [key, String(count)]),
  ]);
}

async function listText({ entries, count, p, removed = [], notifications = [] }: ListAnswer, event: EventText): Promise<string> {
  const slices = new Slices();
  const rooms: string[] = [];
  for (const entry of entries) {
    if (slices.isDue) await slices.pause();
    rooms.push(entryText(entry, event));
  }
  return object([
    ["rooms", list(rooms)],
    ["count", String(count)],
    ["p", JSON.stringify(p)],
    removed.length > 0 && ["removed", JSON.stringify(removed)],
    notifications.length > 0 && ["notifications", list(notifications.map((one) => notificationText(one, event)))],
  ]);
}

function entryText({ roomId, facts, spaceOrder, recency, state, timeline }: Entry, event: EventText): string {
  return object([
    ["room_id", JSON.stringify(roomId)],
    ...facts.map(([key, value]): Member => [key, JSON.stringify(value)]),
    spaceOrder && ["space_order", JSON.stringify(spaceOrder)],
    ["recency", String(recency)],
    state && ["state_events", list(state.map(event))],
    timeline && ["prev_batch", JSON.stringify(timeline.prevBatch)],
    timeline && ["timeline", list(timeline.events.map(event))],
    timeline && ["limited", String(timeline.limited)],
  ]);
}

function notificationText({ roomId, notifications, highlights, encrypted, events }: Notification, event: EventText): string {
  return object([
    ["room_id", JSON.stringify(roomId)],
    ["notification_count", String(notifications)],
    ["highlight_count", String(highlights)],
    events.length > 0 && [encrypted ? "timeline" : "events", list(events.map(event))],
  ]);
}
