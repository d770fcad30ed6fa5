/** One room of a v2 response: joined and left ones with their events, invited and knocked ones with stripped state. */

import type { CutEvent } from "./event.ts";
import { cutEventAt } from "./event.ts";
import { isIdentifier, isObject } from "./identifier.ts";
import type { EventId, UserId } from "./ids.ts";
import { isStorable } from "./ids.ts";
import { indexKey } from "./index-key.ts";
import { withMember } from "./json-edit.ts";
import { eachElement, skipValue } from "./json-scan.ts";
import type { Ephemeral } from "./v2-ephemeral.ts";
import { EphemeralBuilder, readEphemeral } from "./v2-ephemeral.ts";
import type { PartReading } from "./v2-part.ts";
import { parseValue, readCount, readEvents, readList, readMembers, readUserIds, skip } from "./v2-part.ts";

/** An account data event: its own text, and its content parsed ({} where it is not an object). `type` is an index key (index-key.ts). */
export type AccountDataItem = { readonly type: string; readonly body: string; readonly content: Record<string, unknown> };

/** A room under `rooms.join` or `rooms.leave`. Unknown numbers and lists are null: absent, which is not the same as 0 or empty. */
export type V2JoinedRoom = {
  /** State events that are not in the timeline, without duplicates: the state before it, or if there is `current` the state after it. */
  state: CutEvent[];
  /** Oldest first, without duplicates (the first one stays). */
  timeline: CutEvent[];
  /**
   * The ids of `state_after` (MSC4222), which sets the present state: of the timeline's state events, only those that are in it count. null: the
   * room came with `state`, and all of them do.
   */
  current: ReadonlySet<EventId> | null;
  /** Sticky events (MSC4354) that are not in the timeline, oldest first. */
  sticky: CutEvent[];
  /** Older events than these were left out: a gap, unless the room comes for the first time. */
  limited: boolean;
  /** The token right before the first event of the timeline. */
  prev_batch: string | null;
  ephemeral: Ephemeral;
  accountData: AccountDataItem[];
  summary: { heroes: UserId[] | null; joined: number | null; invited: number | null };
  unread: { notifications: number | null; highlights: number | null };
};

/** A state event of an invite: no id, no time. */
export type StrippedEvent = {
  readonly type: string;
  readonly state_key: string;
  readonly sender: UserId;
  readonly content: Record<string, unknown>;
};

/** A room under `rooms.invite` or `rooms.knock`: `body` is its invite_state or knock_state object, as received. */
export type StrippedRoom = { body: string; events: StrippedEvent[] };

/** Reads a room under `rooms.join` or `rooms.leave`. */
export function readJoinedRoom(r: PartReading, start: number, where: string, keep: (room: V2JoinedRoom) => void): number {
  const room: V2JoinedRoom = {
    state: [],
    timeline: [],
    sticky: [],
    current: null,
    limited: false,
    prev_batch: null,
    ephemeral: { typing: null, receipts: [] },
    accountData: [],
    summary: { heroes: null, joined: null, invited: null },
    unread: { notifications: null, highlights: null },
  };
  const inState = new Map<EventId, CutEvent>();
  const inTimeline = new Map<EventId, CutEvent>();
  const after = new Map<EventId, CutEvent>();
  const sticky = new Map<EventId, CutEvent>();
  const ephemeral = new EphemeralBuilder();
  const isRoom = r.text.charAt(start) === "{";
  const readAfter = (at: number, path: string) => {
    // Some homeservers send it under both names.
    if (room.current !== null) return skipValue(r.text, at);
    if (r.text.charAt(at) !== "{") return skip(r, at, path, "not an object");
    room.current = new Set();
    return readEvents(r, at, path, (event, eventPath) => readEvent(r, event, eventPath, after, true));
  };
  const end = readMembers(r, start, where, {
    state: (at, path) => readEvents(r, at, path, (event, eventPath) => readEvent(r, event, eventPath, inState, true)),
    state_after: readAfter,
    "org.matrix.msc4222.state_after": readAfter,
    timeline: (at, path) =>
      readMembers(r, at, path, {
        events: (list, listPath) => readList(r, list, listPath, (event, eventPath) => readEvent(r, event, eventPath, inTimeline, false)),
        limited: (value) => {
          const parsed = parseValue(r, value);
          room.limited = parsed.value === true;
          return parsed.end;
        },
        prev_batch: (value) => {
          const parsed = parseValue(r, value);
          room.prev_batch = typeof parsed.value === "string" && isStorable(parsed.value) ? parsed.value : null;
          return parsed.end;
        },
      }),
    msc4354_sticky: (at, path) => readEvents(r, at, path, (event, eventPath) => readEvent(r, event, eventPath, sticky, false)),
    ephemeral: (at, path) => readEvents(r, at, path, (event, eventPath) => readEphemeral(r, event, eventPath, ephemeral)),
    account_data: (at, path) => readEvents(r, at, path, (item, itemPath) => readAccountData(r, item, itemPath, room.accountData)),
    summary: (at, path) =>
      readMembers(r, at, path, {
        "m.heroes": (list, listPath) => readUserIds(r, list, listPath, (heroes) => (room.summary.heroes = heroes)),
        "m.joined_member_count": (n, nPath) => readCount(r, n, nPath, (count) => (room.summary.joined = count)),
        "m.invited_member_count": (n, nPath) => readCount(r, n, nPath, (count) => (room.summary.invited = count)),
      }),
    unread_notifications: (at, path) =>
      readMembers(r, at, path, {
        notification_count: (n, nPath) => readCount(r, n, nPath, (count) => (room.unread.notifications = count)),
        highlight_count: (n, nPath) => readCount(r, n, nPath, (count) => (room.unread.highlights = count)),
      }),
  });
  room.timeline = [...inTimeline.values()];
  room.sticky = [...sticky.values()].filter((event) => !inTimeline.has(event.event_id));
  if (room.current !== null) room.current = new Set(after.keys());
  room.state = [...(room.current === null ? inState : after).values()].filter((event) => !inTimeline.has(event.event_id));
  room.ephemeral = ephemeral.build();
  if (isRoom) keep(room);
  return end;
}

function readEvent(r: PartReading, start: number, where: string, into: Map<EventId, CutEvent>, isState: boolean): number {
  const { event, end } = cutEventAt(r.text, start, r.now);
  if (event.kind === "malformed") r.skipped.push({ where, reason: event.reason });
  else if (isState && event.state_key === null) r.skipped.push({ where, reason: "no state_key" });
  else if (into.has(event.event_id)) r.skipped.push({ where, reason: "double" });
  else into.set(event.event_id, event);
  return end;
}

/** Reads one account data event, global or of a room; a later one of the same type in the same response replaces the earlier. */
export function readAccountData(r: PartReading, start: number, where: string, into: AccountDataItem[]): number {
  const { value, text, end } = parseValue(r, start);
  const name = isObject(value) ? value["type"] : undefined;
  if (!isObject(value) || typeof name !== "string") {
    r.skipped.push({ where, reason: "type is missing" });
    return end;
  }
  const type = indexKey(name);
  const known = into.findIndex((item) => item.type === type);
  if (known >= 0) into.splice(known, 1);
  into.push({ type, body: text, content: isObject(value["content"]) ? value["content"] : {} });
  return end;
}

/** A complete state event beside the stripped ones, with its own text. */
type Complete = { readonly event: StrippedEvent; readonly text: string };

/**
 * Reads a room under `rooms.invite` (`member` = `invite_state`) or `rooms.knock` (`knock_state`). The user's own member event may come beside
 * the stripped events instead of among them, complete, in `state` (MSC4319): readers and clients find it among them all the same.
 */
export function readStrippedRoom(
  r: PartReading,
  start: number,
  where: string,
  member: "invite_state" | "knock_state",
  keep: (room: StrippedRoom) => void,
): number {
  const room: StrippedRoom = { body: '{"events":[]}', events: [] };
  const complete = new Map<string, Complete>();
  const readBeside = (at: number, path: string) => readEvents(r, at, path, (event, eventPath) => readComplete(r, event, eventPath, complete));
  const isRoom = r.text.charAt(start) === "{";
  const end = readMembers(r, start, where, {
    [member]: (at: number, path: string) => {
      const parsed = parseValue(r, at);
      const events = isObject(parsed.value) ? parsed.value["events"] : undefined;
      if (!Array.isArray(events)) {
        r.skipped.push({ where: path, reason: "no list of events" });
        return parsed.end;
      }
      room.body = parsed.text;
      for (const [index, event] of events.entries()) {
        const stripped = strippedEvent(event);
        if (stripped) room.events.push(stripped);
        else r.skipped.push({ where: `${path}.events[${index}]`, reason: "not a stripped state event" });
      }
      return parsed.end;
    },
    state: readBeside,
    "org.matrix.msc4319.state": readBeside,
  });
  if (isRoom) keep(complete.size === 0 ? room : withComplete(room, complete));
  return end;
}

function readComplete(r: PartReading, start: number, where: string, into: Map<string, Complete>): number {
  const { value, text, end } = parseValue(r, start);
  const event = strippedEvent(value);
  if (event) into.set(placeOf(event), { event, text });
  else r.skipped.push({ where, reason: "not a state event" });
  return end;
}

/** With the complete events in the places of the stripped ones, behind the others. */
function withComplete(room: StrippedRoom, complete: ReadonlyMap<string, Complete>): StrippedRoom {
  const isOther = (event: StrippedEvent | null) => event === null || !complete.has(placeOf(event));
  const texts = (list: string) => {
    const others: string[] = [];
    eachElement(list, 0, (start, end) => {
      const text = list.slice(start, end);
      if (isOther(strippedEvent(JSON.parse(text)))) others.push(text);
    });
    return others;
  };
  const added = [...complete.values()];
  return {
    body: withMember(room.body, "events", (list = "[]") => `[${[...texts(list), ...added.map(({ text }) => text)].join(",")}]`),
    events: [...room.events.filter(isOther), ...added.map(({ event }) => event)],
  };
}

function placeOf({ type, state_key }: StrippedEvent): string {
  return `${type} ${state_key}`;
}

function strippedEvent(event: unknown): StrippedEvent | null {
  if (!isObject(event)) return null;
  const { type, state_key, sender, content } = event;
  if (typeof type !== "string" || typeof state_key !== "string" || !isIdentifier(sender)) return null;
  return { type, state_key, sender: sender as UserId, content: isObject(content) ? content : {} };
}
