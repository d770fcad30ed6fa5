/** Stores the member events of a room's heroes, which polls did not bring (T14). */

import type { WakeKind } from "../../feed/hub.ts";
import { type Sql, type Tx, writeTx } from "../../store/db.ts";
import { readBodiesOf } from "../../store/ingest/bodies.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { readMembers } from "../../store/ingest/known.ts";
import { readRoom } from "../../store/ingest/member-list.ts";
import { type CutEvent, cutEvent } from "../../wire/event.ts";
import { isObject } from "../../wire/identifier.ts";
import type { AccountNo, RoomId, UserId } from "../../wire/ids.ts";
import { Draft } from "./draft.ts";
import { computeFacts, noChange } from "./facts.ts";
import { writeLearned } from "./learn-members.ts";
import { planOwnBodies, settleEvents } from "./own-bodies.ts";
import { contentOf } from "./plan-room-facts.ts";
import { RoomState } from "./room-state.ts";

export type HeroesInput = {
  readonly account: AccountNo;
  readonly roomId: RoomId;
  /** For each hero the text of the member event, or of its content alone. */
  readonly answers: ReadonlyMap<UserId, string>;
  /** When the answers arrived, ms. */
  readonly now: number;
};

/** Computes the room's name again. What was stored since the homeserver was asked is newer than the answers. Returns the kinds of what changed. */
export async function learnHeroes(sql: Sql, input: HeroesInput): Promise<ReadonlySet<WakeKind>> {
  return await writeTx(sql, (tx) => learn(tx, input));
}

async function learn(tx: Tx, { account, roomId, answers, now }: HeroesInput): Promise<ReadonlySet<WakeKind>> {
  const received = new Map<string, CutEvent>();
  for (const [user, text] of answers) {
    const event = cutEvent(text, now);
    if (event.kind === "event" && event.type === "m.room.member" && event.state_key === user) received.set(user, event);
  }
  const [locked, room, bodies] = await Promise.all([
    lockAccount(tx, account),
    readRoom(tx, account, roomId),
    readBodiesOf(tx, account, [...received.values()]),
  ]);
  if (!locked || !room?.facts?.heroes || room.membership !== "join") return new Set();
  const { facts } = room;
  const stored = await readMembers(
    tx,
    room.facts.heroes.map(({ user_id }) => ({ account, room_id: roomId, user_id })),
  );
  const contents = new Map<UserId, CutEvent["content"]>(stored.map((member) => [member.user_id, contentOf(member.body)]));
  const draft = new Draft(locked.position);
  const state = new RoomState(draft, roomId, [], stored);
  const { events, own, redactions } = settleEvents(
    [...received.values()].filter((event) => !contents.has(event.state_key as UserId)),
    roomId,
    bodies,
  );
  for (const event of events) state.apply(event, draft.next("members", roomId), true);
  planOwnBodies(draft, own);
  const settled = new Map(events.map((event) => [event.state_key, event.content]));
  for (const [user, text] of answers) {
    const content = settled.get(user) ?? (contents.has(user) || received.has(user) ? null : contentAlone(text));
    if (content) contents.set(user, content);
  }
  const heroes = facts.sources.heroes ?? null;
  const named = computeFacts(facts, { ...noChange(locked.user_id, facts), heroes, member: (user) => contents.get(user) });
  draft.putFacts(room, room.membership, named);
  if (draft.last > draft.start) await writeLearned(tx, account, roomId, draft, redactions);
  return draft.kinds;
}

/** A member event's content; null: the text is something else. */
function contentAlone(text: string): Record<string, unknown> | null {
  const content: unknown = JSON.parse(text);
  return isObject(content) && typeof content["membership"] === "string" ? content : null;
}
