/** What is to be sent of each room that a request asks about, decided before rows of the room are read (MSC4186, "Room results"). */

import { filterInSlices, Slices } from "../base/slices.ts";
import type { RoomId } from "../wire/ids.ts";
import type { AccountView } from "./account-view.ts";
import { type ConnectionState, LIVE, MAYBE, NO_RECORD, type SentRoom, type StateDraft, STRIPPED, sentUpTo } from "./connection-state.ts";
import { matcherOf, NO_STATE, type RequiredState, type StateMatcher } from "./required-state.ts";
import type { ChosenRoom } from "./select.ts";

/**
 * - stripped: an invite or a knock, which only has stripped state.
 * - initial: everything, as the room was never sent or was joined again since, or as what ended since is not known any more.
 * - delta: what is new since `sent`.
 */
export type JobKind = "stripped" | "initial" | "delta";

export type RoomJob = {
  readonly choice: ChosenRoom;
  readonly roomId: RoomId;
  readonly kind: JobKind;
  /** The position up to which the room was sent; 0 for an initial one. */
  readonly sent: number;
  readonly record: SentRoom;
  /** Something of the room changed after `sent`. */
  readonly changed: boolean;
  readonly matcher: StateMatcher;
  /** The state config that the connection has received: see `remembered`. */
  readonly known: RequiredState;
  /** More state is asked for than before. */
  readonly grown: boolean;
  /** More of the timeline is asked for than before, so that the newest events are sent again with it. */
  readonly expanded: boolean;
};

export type JobsQuestion = {
  readonly state: Pick<ConnectionState, "rooms" | "configs">;
  /** The position of the request. */
  readonly from: number;
  /** What ended up to here is not known any more. */
  readonly horizon: number;
  /** The rooms whose full member list is known; elsewhere it cannot be sent yet. */
  readonly allMembers: ReadonlySet<RoomId>;
};

export async function roomJobs(chosen: ReadonlyMap<RoomId, ChosenRoom>, question: JobsQuestion): Promise<RoomJob[]> {
  const { state, from, horizon, allMembers } = question;
  const { rooms, configs } = state;
  const slices = new Slices();
  const jobs: RoomJob[] = [];
  for (const [roomId, choice] of chosen) {
    if (slices.isDue) await slices.pause();
    const record = rooms.get(roomId) ?? NO_RECORD;
    const sent = sentUpTo(record, "events", from);
    const { room } = choice;
    const matcher = matcherOf(sendable(choice.config.requiredState, allMembers.has(roomId)));
    const known = configs[record.config] ?? NO_STATE;
    const isStripped = room.membership === "invite" || room.membership === "knock";
    const rejoined = room.membership === "join" && sent !== undefined && room.membershipOrd > sent;
    const isUnknown = sent === undefined || sent === MAYBE;
    const isInitial = isUnknown || rejoined || (sent < horizon && room.endedOrd > sent);
    const changed = sent === undefined || room.changedOrd > sent;
    const grown = !isStripped && !isInitial && matcher.key !== matcherOf(known).key && grows(matcher, known);
    const expanded = !isStripped && !isInitial && record.config !== STRIPPED && choice.config.timelineLimit > record.limit;
    if (isStripped ? !changed : !isInitial && !changed && !grown && !expanded) continue;
    const kind: JobKind = isStripped ? "stripped" : isInitial ? "initial" : "delta";
    jobs.push({ choice, roomId, kind, sent: isInitial ? 0 : sent, record, changed, matcher, known, grown, expanded });
  }
  return jobs;
}

/** Rooms that changed while not asked about are sent from this position on once they are asked about again: LIVE becomes PREVIOUSLY. */
export function leaveBehind(
  rooms: Pick<AccountView, "sorted" | "byId">,
  chosen: ReadonlyMap<RoomId, unknown>,
  draft: StateDraft,
  from: number,
): void {
  for (const room of rooms.byId.values()) {
    if (room.changedOrd <= from || chosen.has(room.roomId)) continue;
    if (draft.room(room.roomId).sent.events === LIVE) draft.setSent(room.roomId, "events", from);
  }
}

/** The rooms that ask for every member. */
export async function askingForAllMembers(chosen: ReadonlyMap<RoomId, ChosenRoom>): Promise<RoomId[]> {
  const asking = ({ room, config }: ChosenRoom) => room.membership === "join" && matcherOf(config.requiredState).allMembers;
  return (await filterInSlices(chosen.values(), asking, new Slices())).map(({ room }) => room.roomId);
}

/** By config, what can be sent of it while not every member is known. */
const withoutMembers = new WeakMap<RequiredState, RequiredState>();

/** What can be sent of a config: all members only if they are known. Once they are, the config has grown, and they are sent. */
function sendable(state: RequiredState, allMembers: boolean): RequiredState {
  if (allMembers || !matcherOf(state).allMembers) return state;
  let rest = withoutMembers.get(state);
  if (!rest) withoutMembers.set(state, (rest = withoutAllMembers(state)));
  return rest;
}

function withoutAllMembers(state: RequiredState): RequiredState {
  const atoms = state.atoms.flatMap((atom) => {
    if (atom.key !== undefined || (atom.type !== undefined && atom.type !== "m.room.member")) return [atom];
    return atom.type === undefined ? [{ ...atom, noMembers: true as const }] : [];
  });
  return { ...state, atoms };
}

/** Whether a config has grown, by what is asked for and what is known. Most rooms of a connection share both. */
const grown = new WeakMap<RequiredState, WeakMap<RequiredState, boolean>>();

/** Whether a config may match anything that the known one does not. */
function grows({ state }: StateMatcher, known: RequiredState): boolean {
  let ofState = grown.get(state);
  if (!ofState) grown.set(state, (ofState = new WeakMap()));
  let result = ofState.get(known);
  if (result === undefined) {
    const had = new Set(known.atoms.map((atom) => JSON.stringify(atom)));
    ofState.set(known, (result = state.atoms.some((atom) => !had.has(JSON.stringify(atom)))));
  }
  return result;
}
