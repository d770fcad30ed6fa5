/** The facts of a room of the join or leave section, and whether its member list matches the homeserver's count. */

import type { KnownMember } from "../../store/ingest/known.ts";
import { type Membership, NO_FACTS } from "../../store/room-facts.ts";
import { isObject } from "../../wire/identifier.ts";
import type { UserId } from "../../wire/ids.ts";
import type { FactsChange } from "./facts.ts";
import { computeFacts, standInsAmong, tagsOf } from "./facts.ts";
import { hasReadAll } from "./own-reads.ts";
import type { RoomWork } from "./room-work.ts";

/** Plans the facts row. True: the number of members known to be joined differs from the homeserver's count, although all should be known. */
export function planRoomFacts(work: RoomWork, membership: Membership): boolean {
  const { draft, context, stored, section, state, isFull } = work;
  const counted = countMembers(work);
  const base = isFull || stored.facts === null ? NO_FACTS : stored.facts;
  const isAllRead = membership !== "join" || hasReadAll(work);
  // A room that was read again comes without its unread counts.
  const unread = context.reread.has(stored.room_id) ? stored.facts : null;
  const change: FactsChange = {
    me: context.me,
    contents: state.contents,
    member: memberContent(work),
    ...section.summary,
    counted,
    standIns: standIns(work),
    notifications: isAllRead ? 0 : (section.unread.notifications ?? unread?.notification_count ?? null),
    highlights: isAllRead ? 0 : (section.unread.highlights ?? unread?.highlight_count ?? null),
    tags: tags(work),
    isDm: isDirect(work),
  };
  const facts = computeFacts(base, change);
  draft.putFacts(stored, membership, facts);
  if (isFull || stored.members !== "complete" || section.summary.joined === null || counted === null) return false;
  return counted.joined !== section.summary.joined;
}

/** The number of known members after the batch; null if they were not counted before it. */
function countMembers(work: RoomWork): { joined: number; invited: number } | null {
  const { context, stored, state, isFull } = work;
  const before = isFull || stored.facts === null ? { joined: 0, invited: 0 } : context.extra.counts.get(stored.room_id);
  if (before === undefined) return null;
  return isFull ? countInResponse(work) : { joined: before.joined + state.joinedBy, invited: before.invited + state.invitedBy };
}

/** For a full room: the members in the response, whether or not they were known before. */
function countInResponse(work: RoomWork): { joined: number; invited: number } {
  const memberships = [...work.state.memberContents.values()].map((member) => member.membership);
  return { joined: memberships.filter((each) => each === "join").length, invited: memberships.filter((each) => each === "invite").length };
}

function memberContent(work: RoomWork): (user: UserId) => Record<string, unknown> | undefined {
  const { context, stored, state } = work;
  const known = new Map((context.known.members.get(stored.room_id) ?? []).map((member) => [member.user_id, member]));
  for (const member of context.extra.standIns.get(stored.room_id) ?? []) known.set(member.user_id, member);
  return (user) => {
    const inBatch = state.memberContents.get(user);
    if (inBatch) return inBatch.content;
    const member = known.get(user);
    return member ? contentOf(member.body) : undefined;
  };
}

/** The members that name the room if the homeserver never sent heroes; null: the previous ones. */
function standIns(work: RoomWork): UserId[] | null {
  const { context, stored, section, state, isFull } = work;
  const fresh = isFull || stored.facts === null;
  if (section.summary.heroes !== null || (!fresh && stored.facts?.sources.heroes !== undefined)) return null;
  const known: readonly KnownMember[] | undefined = fresh ? [] : context.extra.standIns.get(stored.room_id);
  if (known === undefined) return null;
  const members = new Map(known.map((member) => [member.user_id, member.membership]));
  for (const [user, { membership }] of state.memberContents) members.set(user, membership);
  return standInsAmong(members, context.me);
}

function tags(work: RoomWork): Record<string, unknown> | null {
  const item = work.section.accountData.find(({ type }) => type === "m.tag");
  if (item) return tagsOf(item.content);
  return work.stored.facts === null ? null : { ...work.stored.facts.tags };
}

/** As m.direct says. An invite that calls itself direct is so until it is answered (M12). */
function isDirect(work: RoomWork): boolean {
  const { context, stored } = work;
  if (context.direct?.isInResponse || stored.facts === null || stored.pending !== null) return context.direct?.rooms.has(stored.room_id) ?? false;
  return stored.facts.is_dm;
}

/** The content of an event's body; {} where it has none. */
export function contentOf(body: string): Record<string, unknown> {
  const event: unknown = JSON.parse(body);
  const content = isObject(event) ? event["content"] : undefined;
  return isObject(content) ? content : {};
}
