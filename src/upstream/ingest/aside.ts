/**
 * Join sections that are no join. Dendrite tells changed account data of any room in the join section, also of rooms that the user is only
 * invited to or has left: whoever takes that for a join shows a room that does not exist, and never loses it again.
 */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { AccountDataItem, V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { Draft } from "./draft.ts";
import { computeFacts, noChange, tagsOf } from "./facts.ts";
import type { KnownIndex, PlanContext } from "./plan-context.ts";
import { planAccountData } from "./plan-room-parts.ts";

/** Whether a join section says nothing of the room's events. A user who joins has at least a member event. */
export function isWithoutEvents({ state, timeline, limited, summary }: V2JoinedRoom): boolean {
  return state.length + timeline.length === 0 && !limited && summary.joined === null;
}

/** The response without the join sections that are no join, and the account data that they brought. */
export function withoutFalseJoins(
  response: V2Response,
  known: KnownIndex,
): { readonly response: V2Response; readonly aside: ReadonlyMap<RoomId, readonly AccountDataItem[]> } {
  const isFalse = ([room, section]: [RoomId, V2JoinedRoom]) => isWithoutEvents(section) && known.room(room).membership !== "join";
  const found = [...response.join].filter(isFalse);
  if (found.length === 0) return { response, aside: NOTHING };
  const aside = new Map(found.map(([room, section]) => [room, section.accountData]));
  return { response: { ...response, join: new Map([...response.join].filter(([room]) => !aside.has(room))) }, aside };
}

const NOTHING: ReadonlyMap<RoomId, readonly AccountDataItem[]> = new Map();

/** Plans the account data of a room that the user is not in. */
export function planAside(draft: Draft, context: PlanContext, stored: KnownRoom, items: readonly AccountDataItem[]): void {
  planAccountData(draft, context, stored.room_id, items);
  const tags = items.find(({ type }) => type === "m.tag");
  if (!tags || stored.facts === null || stored.membership === null) return;
  draft.putFacts(stored, stored.membership, computeFacts(stored.facts, { ...noChange(context.me, stored.facts), tags: tagsOf(tags.content) }));
}
