/**
 * Reads one room from the homeserver in the form that a v2 response has for it. A /sync without `since` would cost the homeserver hundreds
 * of times as much.
 */

import type { RoomId, UserId } from "../wire/ids.ts";
import { eachElement } from "../wire/json-scan.ts";
import { isUserId } from "../wire/matrix-id.ts";
import type { HomeserverClient } from "./client.ts";
import { cutAnswer } from "./cut-answer.ts";
import { FIRST_TIMELINE } from "./v2-filter.ts";

/** `text`: as under `rooms.join` of a v2 response. `membership`: the user's own, as the state says. `receivedAt`: ms. */
export type RoomRead = { readonly text: string; readonly membership: unknown; readonly receivedAt: number };

const MAX_STATE_BYTES = 4 * 1024 * 1024;
const HEROES = 5;

/**
 * Reads a room's state, then its newest messages: what happens in between is in the timeline. Members are those that lazy loading would
 * bring.
 * @throws UpstreamError, also if the state is larger than 4 MiB
 */
export async function readRoom(
  client: Pick<HomeserverClient, "state" | "messages">,
  { me, token, roomId }: { readonly me: UserId; readonly token: string; readonly roomId: RoomId },
  signal: AbortSignal,
): Promise<RoomRead> {
  const state = stateEvents((await client.state(token, roomId, signal, MAX_STATE_BYTES)).text);
  const answer = await client.messages(token, roomId, { from: null, dir: "b", limit: FIRST_TIMELINE }, signal);
  const messages = cutAnswer(answer.text);
  const timeline = messages.chunk.toReversed();
  const events = timeline.map((text) => JSON.parse(text) as StateEvent);
  const inTimeline = new Set(events.map((event) => event.event_id));
  const heroes = heroesOf(state, me);
  const members = new Set<unknown>([me, ...heroes, ...events.map((event) => event.sender)]);
  const before = state.filter(({ event }) => !inTimeline.has(event.event_id) && (event.type !== "m.room.member" || members.has(event.state_key)));
  const summary = {
    "m.heroes": heroes,
    "m.joined_member_count": state.filter(({ membership }) => membership === "join").length,
    "m.invited_member_count": state.filter(({ membership }) => membership === "invite").length,
  };
  const limits = { limited: messages.end !== null, ...(messages.end !== null && { prev_batch: messages.end }) };
  const text =
    `{"summary":${JSON.stringify(summary)},"state":{"events":[${before.map((event) => event.text).join()}]},` +
    `"timeline":{"events":[${timeline.join()}],${JSON.stringify(limits).slice(1)}}`;
  const own = state.find(({ event }) => event.type === "m.room.member" && event.state_key === me);
  return { text, membership: own?.membership, receivedAt: answer.receivedAt };
}

type StateEvent = {
  readonly type?: unknown;
  readonly event_id?: unknown;
  readonly sender?: unknown;
  readonly state_key?: unknown;
  readonly content?: Readonly<Record<string, unknown>>;
  readonly origin_server_ts?: number;
};
/** `membership`: of member events. */
type StateText = { readonly text: string; readonly event: StateEvent; readonly membership: unknown };

/** The answer of /state. */
function stateEvents(answer: string): StateText[] {
  const events: StateText[] = [];
  eachElement(answer, 0, (from, to) => {
    const text = answer.slice(from, to);
    const event = JSON.parse(text) as StateEvent;
    events.push({ text, event, membership: event.type === "m.room.member" ? event.content?.["membership"] : undefined });
  });
  return events;
}

/** The members that a room may be named after, as in a v2 summary: the longest there first; if no one is, those who were. */
function heroesOf(state: readonly StateText[], me: UserId): UserId[] {
  const others = state.filter(({ event, membership }) => membership !== undefined && event.state_key !== me);
  const present = others.filter(({ membership }) => membership === "join" || membership === "invite");
  const ranked = (present.length > 0 ? present : others).toSorted((a, b) => (a.event.origin_server_ts ?? 0) - (b.event.origin_server_ts ?? 0));
  return ranked
    .map(({ event }) => event.state_key)
    .filter(isUserId)
    .slice(0, HEROES);
}
