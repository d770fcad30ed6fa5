/**
 * A v2 answer may have one room in two sections (N1): Synapse after a kick and an invite between two polls, Dendrite after a leave and a
 * join. Each section is then planned in a round of its own, as if it had come in a separate answer; all rounds are one transaction.
 */

import { isObject } from "../../wire/identifier.ts";
import type { RoomId, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom, StrippedRoom, V2Response } from "../../wire/v2-response.ts";
import { isWithoutEvents } from "./aside.ts";

type SectionKind = "join" | "invite" | "knock" | "leave";
/** In the order of precedence if nothing else shows which membership is the newest. */
const KINDS: readonly SectionKind[] = ["join", "invite", "knock", "leave"];

/** The user's own member event in a section, with what shows when it was created. */
type OwnMember = { readonly eventId: string | null; readonly ts: number | null; readonly replaces: string | null };
type Section = {
  readonly kind: SectionKind;
  readonly own: OwnMember;
  /** Event ids, oldest first. */
  readonly timeline: readonly string[];
  /** It shows no membership (aside.ts). */
  readonly isEmpty: boolean;
};

export type Rounds = {
  /** At least one. The first is the complete answer without the later sections of such rooms; the others have only those. */
  readonly responses: readonly [V2Response, ...V2Response[]];
  /** Rooms for which only the kinds of their sections show which membership is the newest. */
  readonly unsure: readonly RoomId[];
};

/**
 * Puts each room into at most one section per round. The newest own membership comes last, so it is the one that stays. An older invite or
 * knock is left out: its stripped state is not history.
 */
export function roundsOf(response: V2Response, me: UserId): Rounds {
  const unsure: RoomId[] = [];
  const responses: [V2Response, ...V2Response[]] = [response];
  for (const room of roomsOfSeveral(response)) {
    const sections = KINDS.flatMap((kind) => sectionOf(response, kind, room, me) ?? []);
    const newest = sections.reduce((best, next) => (isNewerThan(next, best) === true ? next : best));
    if (sections.some((other) => other !== newest && isNewerThan(newest, other) === null)) unsure.push(room);
    const history = (["leave", "join"] as const).filter((kind) => kind !== newest.kind && response[kind].has(room));
    for (const [index, kind] of [...history, newest.kind].entries()) {
      if (index === 0) responses[0] = onlyIn(responses[0], room, kind);
      else responses[index] = withSection(responses[index] ?? emptyAnswer(response.next_batch), response, room, kind);
    }
  }
  return { responses, unsure };
}

function roomsOfSeveral(response: V2Response): RoomId[] {
  const seen = new Set<RoomId>();
  const several = new Set<RoomId>();
  for (const kind of KINDS) {
    for (const room of response[kind].keys()) {
      if (seen.has(room)) several.add(room);
      seen.add(room);
    }
  }
  return [...several];
}

/** Null: nothing shows it. */
function isNewerThan(a: Section, b: Section): boolean | null {
  if (a.isEmpty !== b.isEmpty) return b.isEmpty;
  if (a.own.replaces !== null && a.own.replaces === b.own.eventId) return true;
  if (b.own.replaces !== null && b.own.replaces === a.own.eventId) return false;
  for (const { timeline } of [a, b]) {
    const [indexOfA, indexOfB] = [timeline.indexOf(a.own.eventId ?? ""), timeline.indexOf(b.own.eventId ?? "")];
    if (indexOfA >= 0 && indexOfB >= 0 && indexOfA !== indexOfB) return indexOfA > indexOfB;
  }
  if (a.own.ts !== null && b.own.ts !== null && a.own.ts !== b.own.ts) return a.own.ts > b.own.ts;
  return null;
}

function sectionOf(response: V2Response, kind: SectionKind, room: RoomId, me: UserId): Section | null {
  if (kind === "join" || kind === "leave") {
    const section = response[kind].get(room);
    if (!section) return null;
    const isEmpty = kind === "join" && isWithoutEvents(section);
    return { kind, own: ownOf(section, me), timeline: section.timeline.map((event) => event.event_id), isEmpty };
  }
  const stripped = response[kind].get(room);
  return stripped ? { kind, own: ownOfStripped(stripped, me), timeline: [], isEmpty: false } : null;
}

function ownOf(section: V2JoinedRoom, me: UserId): OwnMember {
  const isOwn = (event: { readonly type: string; readonly state_key: string | null }) => event.type === "m.room.member" && event.state_key === me;
  const inTimeline = section.timeline.findLast((event) => isOwn(event) && section.current?.has(event.event_id) !== false);
  const inState = section.state.findLast(isOwn);
  // The state after the timeline is newer than an event of the timeline that it does not have.
  const event = inTimeline ?? inState ?? section.timeline.findLast(isOwn);
  if (!event) return NOBODY;
  return { eventId: event.event_id, ts: event.ts, replaces: replacesState(event.unsigned === null ? null : JSON.parse(event.unsigned)) };
}

/** Synapse puts the invite itself, as a complete event, among the stripped ones. */
function ownOfStripped(section: StrippedRoom, me: UserId): OwnMember {
  const body: unknown = JSON.parse(section.body);
  const events = isObject(body) && Array.isArray(body["events"]) ? body["events"] : [];
  const event: unknown = events.findLast((each) => isObject(each) && each["type"] === "m.room.member" && each["state_key"] === me);
  if (!isObject(event)) return NOBODY;
  const { event_id: eventId, origin_server_ts: ts } = event;
  return {
    eventId: typeof eventId === "string" ? eventId : null,
    ts: typeof ts === "number" ? ts : null,
    replaces: replacesState(event["unsigned"]),
  };
}

const NOBODY: OwnMember = { eventId: null, ts: null, replaces: null };

function replacesState(unsigned: unknown): string | null {
  const id = isObject(unsigned) ? unsigned["replaces_state"] : undefined;
  return typeof id === "string" ? id : null;
}

/** The answer with a room only in one of its sections. */
function onlyIn(response: V2Response, room: RoomId, kind: SectionKind): V2Response {
  const without = <T>(map: Map<RoomId, T>, of: SectionKind) => (of === kind ? map : new Map([...map].filter(([id]) => id !== room)));
  const { join, leave, invite, knock } = response;
  return {
    ...response,
    join: without(join, "join"),
    leave: without(leave, "leave"),
    invite: without(invite, "invite"),
    knock: without(knock, "knock"),
  };
}

function withSection(to: V2Response, from: V2Response, room: RoomId, kind: SectionKind): V2Response {
  if (kind === "join" || kind === "leave") {
    const section = from[kind].get(room);
    if (section) to[kind].set(room, section);
  } else {
    const section = from[kind].get(room);
    if (section) to[kind].set(room, section);
  }
  return to;
}

/** An answer without any content. */
function emptyAnswer(nextBatch: string): V2Response {
  return {
    next_batch: nextBatch,
    accountData: [],
    presence: [],
    profiles: new Map(),
    toDevice: [],
    deviceLists: { changed: [], left: [] },
    oneTimeKeys: null,
    fallbackKeys: null,
    join: new Map(),
    leave: new Map(),
    invite: new Map(),
    knock: new Map(),
    skipped: [],
  };
}
