/**
 * A client-format event, split into what is shared by all accounts that see it (the body) and what differs for each (`unsigned`), and joined
 * again. Bodies stay text: clients get what the homeserver wrote.
 */

import { isObject } from "./identifier.ts";
import { indexKey } from "./index-key.ts";
import type { EventId, RoomId, UserId } from "./ids.ts";
import { isStorable } from "./ids.ts";
import { copyText, cutMembers, expectEnd, JsonSyntaxError, skipSpace, skipValue } from "./json-scan.ts";
import { STICKY_FOR, stickyUntil } from "./sticky-event.ts";

/** Ids, type and state key are index keys (index-key.ts): the body has them in full. */
export type CutEvent = {
  readonly kind: "event";
  readonly event_id: EventId;
  readonly type: string;
  /** null: not a state event. */
  readonly state_key: string | null;
  readonly sender: UserId;
  /** origin_server_ts, ms, a safe integer; if the event has none, the time at which it was cut. */
  readonly ts: number;
  /** The event's own text without the top-level `unsigned` and `room_id`. Well-formed: it can be stored. */
  readonly body: string;
  /** The body that accounts share, if that of this account is another one (T6); else, and as it is cut, null. */
  readonly shared: string | null;
  /** Parsed; {} where it is not an object. */
  readonly content: Record<string, unknown>;
  /** JSON object without what is made for each answer (NOT_IN_UNSIGNED); null if it is absent, empty or not an object. */
  readonly unsigned: string | null;
  /** unsigned["m.relations"], a JSON object: what the homeserver bundled with the event; null: nothing. */
  readonly relations: string | null;
  /** When the homeserver received the event, by our clock, ms: now - unsigned.age. null if the age is missing. */
  readonly age_ts: number | null;
  /** unsigned.transaction_id: the event was sent by the device that polled. */
  readonly txn_id: string | null;
  /** How long the event is sticky (MSC4354), by our clock, ms; null: it is not. */
  readonly sticky_until: number | null;
  /** The event that it relates to, and how, as index keys; null: to none, or as a reaction, of which nothing is bundled. */
  readonly relation: Relation | null;
  /** The event that an m.room.redaction redacts; null if the two places that may name it (by room version) disagree. */
  readonly redacts: EventId | null;
  /** True if the homeserver has redacted the event already (unsigned.redacted_because). */
  readonly redacted_because: boolean;
};

/** `rel_type`: m.replace, m.thread, m.reference, or any other. */
export type Relation = { readonly event_id: EventId; readonly rel_type: string };

/** An event that cannot be stored: it is left out, its neighbours are not (B37). */
export type MalformedEvent = { readonly kind: "malformed"; readonly reason: string };

const NOT_IN_BODY: ReadonlySet<string> = new Set(["unsigned", "room_id"]);
/** Synapse repeats these at the top level in answers other than a sync's, as in the first version of the API. */
const OF_OLD: ReadonlySet<string> = new Set([
  ...NOT_IN_BODY,
  "age",
  "user_id",
  "prev_content",
  "prev_sender",
  "replaces_state",
  "redacted_because",
  "invite_room_state",
  "knock_room_state",
]);
const RELATIONS = "m.relations";
const NOT_IN_UNSIGNED: ReadonlySet<string> = new Set(["age", "transaction_id", RELATIONS, STICKY_FOR]);

/**
 * Cuts one event from an answer other than a sync's; `text` is the event. `now` is the time at which it was received, ms. Never throws: a
 * text that is not JSON, or not an event, is malformed.
 */
export function cutEvent(text: string, now: number): CutEvent | MalformedEvent {
  try {
    const { event, end } = cutEventAt(text, 0, now, OF_OLD);
    expectEnd(text, end);
    return event;
  } catch (error) {
    if (error instanceof JsonSyntaxError) return malformed("not JSON");
    throw error;
  }
}

/**
 * Cuts the event that begins at `start` of a longer text; `end` is where it ends. Nothing returned keeps `text` alive.
 * @throws JsonSyntaxError if the text is not JSON.
 */
export function cutEventAt(
  text: string,
  start: number,
  now: number,
  without: ReadonlySet<string> = NOT_IN_BODY,
): { event: CutEvent | MalformedEvent; end: number } {
  if (text.charAt(skipSpace(text, start)) !== "{") return { event: malformed("not an object"), end: skipValue(text, start) };
  const cut = cutMembers(text, start, without);
  // Parsing a joined text flattens it into a separate copy; without cuts it is a slice.
  const body = cut.removed.size === 0 ? copyText(cut.text) : cut.text.toWellFormed();
  const fields: unknown = JSON.parse(body);
  if (!isObject(fields)) return { event: malformed("not an object"), end: cut.end };
  return { event: fromFields(fields, body, cut.removed.get("unsigned"), now), end: cut.end };
}

function fromFields(fields: Record<string, unknown>, body: string, unsignedText: string | undefined, now: number): CutEvent | MalformedEvent {
  const { event_id, type, sender, state_key, origin_server_ts: ts } = fields;
  if (!isName(event_id)) return malformed("event_id is missing");
  if (typeof type !== "string") return malformed("type is missing");
  if (!isName(sender)) return malformed("sender is missing");
  if (state_key !== undefined && typeof state_key !== "string") return malformed("state_key is no text");
  const content = isObject(fields["content"]) ? fields["content"] : {};
  return {
    kind: "event",
    event_id: indexKey(event_id) as EventId,
    type: indexKey(type),
    state_key: state_key === undefined ? null : indexKey(state_key),
    sender: indexKey(sender) as UserId,
    ts: typeof ts === "number" && Number.isSafeInteger(ts) ? ts : now,
    body,
    shared: null,
    content,
    relation: relationOf(content["m.relates_to"]),
    redacts: type === "m.room.redaction" ? redactedId(fields["redacts"], content["redacts"]) : null,
    ...cutUnsigned(unsignedText, now),
  };
}

type UnsignedParts = Pick<CutEvent, "unsigned" | "relations" | "age_ts" | "txn_id" | "sticky_until" | "redacted_because">;

function cutUnsigned(text: string | undefined, now: number): UnsignedParts {
  const none = { unsigned: null, relations: null, age_ts: null, txn_id: null, sticky_until: null, redacted_because: false };
  if (text === undefined) return none;
  const fields: unknown = JSON.parse(text);
  if (!isObject(fields)) return none;
  const { age, transaction_id: txnId, redacted_because: because } = fields;
  const cameAt = typeof age === "number" ? Math.round(now - age) : null;
  const hasMore = Object.keys(fields).some((key) => !NOT_IN_UNSIGNED.has(key));
  const isBundled = isObject(fields[RELATIONS]);
  const cut = hasMore || isBundled ? cutMembers(text, 0, NOT_IN_UNSIGNED) : null;
  return {
    unsigned: cut && hasMore ? copyText(cut.text) : null,
    relations: isBundled ? copyText(cut?.removed.get(RELATIONS) ?? "{}") : null,
    age_ts: Number.isSafeInteger(cameAt) ? cameAt : null,
    txn_id: typeof txnId === "string" && isStorable(txnId) ? txnId : null,
    // A redacted event is not sticky any more.
    sticky_until: isObject(because) ? null : stickyUntil(fields[STICKY_FOR], now),
    redacted_because: isObject(because),
  };
}

function relationOf(relation: unknown): Relation | null {
  if (!isObject(relation)) return null;
  const { event_id, rel_type } = relation;
  if (!isName(event_id) || typeof rel_type !== "string" || rel_type === "m.annotation") return null;
  return { event_id: indexKey(event_id) as EventId, rel_type: indexKey(rel_type) };
}

/**
 * Room versions 1 to 10 name the redacted event at the top level, 11 and later in the content; homeservers copy each to the other for
 * clients. If both exist and differ, the sender made one up, and we cannot tell which.
 */
function redactedId(top: unknown, inner: unknown): EventId | null {
  if (isName(top) && isName(inner) && top !== inner) return null;
  if (isName(top)) return indexKey(top) as EventId;
  return isName(inner) ? (indexKey(inner) as EventId) : null;
}

/** A text that can be an id: any but the empty one. */
function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function malformed(reason: string): MalformedEvent {
  return { kind: "malformed", reason };
}

/** What eventText joins: see CutEvent for the members. `body` has at least one member and ends with its brace. */
export type EventParts = {
  readonly body: string;
  /** null: left out, where the event is listed under its room's id. */
  readonly room_id: RoomId | null;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
  readonly txn_id: string | null;
  /** See CutEvent. Default: null. */
  readonly sticky_until?: number | null | undefined;
  /** A JSON object: what is bundled with the event. Default: nothing. */
  readonly relations?: string | null;
};

/**
 * The client-format event as JSON text: the body with `room_id`, and `unsigned` with `age` (ms, at least 0), `transaction_id`, how long it is sticky
 * and `m.relations` put back if they are known. Only joins texts. `now` in ms; null: ages are left open, as AGE_GAP, and the event is not sticky.
 */
export function eventText(parts: EventParts, now: number | null): string {
  let own = "";
  if (parts.age_ts !== null) own = `"age":${now === null ? AGE_GAP : Math.max(0, now - parts.age_ts)}`;
  if (parts.txn_id !== null) own += `${own === "" ? "" : ","}"transaction_id":${JSON.stringify(parts.txn_id)}`;
  if (now !== null && isSticky(parts, now)) own += `${own === "" ? "" : ","}"${STICKY_FOR}":${(parts.sticky_until ?? now) - now}`;
  if (parts.relations) own += `${own === "" ? "" : ","}"${RELATIONS}":${parts.relations}`;
  const room = parts.room_id === null ? "" : `,"room_id":${JSON.stringify(parts.room_id)}`;
  const head = parts.body.slice(0, -1) + room;
  if (parts.unsigned === null) return own === "" ? `${head}}` : `${head},"unsigned":{${own}}}`;
  return own === "" ? `${head},"unsigned":${parts.unsigned}}` : `${head},"unsigned":${parts.unsigned.slice(0, -1)},${own}}}`;
}

/** Whether an event is sticky at that time, ms. */
export function isSticky({ sticky_until }: Pick<EventParts, "sticky_until">, now: number): boolean {
  return (sticky_until ?? 0) > now;
}

/** Placeholder for an age, as wide as the widest. No JSON text contains a NUL. */
export const AGE_GAP = "\0".repeat(13);
