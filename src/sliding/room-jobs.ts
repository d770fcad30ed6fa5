/** What is to be told of each room that a request asks about: decided before anything of the room is read (MSC4186, "Room results"). */

import { Slices } from "../base/slices.ts";
import type { RoomId } from "../wire/ids.ts";
import type { AccountView } from "./account-view.ts";
import { type ConnectionState, LIVE, NO_RECORD, type SentRoom, type StateDraft, STRIPPED, toldUpTo } from "./connection-state.ts";
import { matcherOf, NO_STATE, type RequiredState, type StateMatcher } from "./required-state.ts";
import type { ChosenRoom } from "./select.ts";

/**
 * - stripped: an invite or a knock, of which there is stripped state alone.
 * - initial: all of it: never told, or joined anew since.
 * - delta: what is new since `told`.
 */
export type JobKind = "stripped" | "initial" | "delta";

export type RoomJob = {
  readonly choice: ChosenRoom;
  readonly roomId: RoomId;
  readonly kind: JobKind;
  /** The position up to which the room was told; 0 for an initial one. */
  readonly told: number;
  readonly record: SentRoom;
  /** Something of the room changed after `told`. */
  readonly changed: boolean;
  readonly matcher: StateMatcher;
  /** What the connection was told of the room's state: see `remembered`. */
  readonly known: RequiredState;
  /** More state is asked for than before. */
  readonly grown: boolean;
  /** More of the timeline is asked for than before: the newest events are told again with it. */
  readonly expanded: boolean;
};

/** @param allMembers the rooms whose full member list is known: elsewhere it cannot be told yet. */
export async function roomJobs(
  chosen: ReadonlyMap<RoomId, ChosenRoom>,
  { rooms, configs }: Pick<ConnectionState, "rooms" | "configs">,
  from: number,
  allMembers: ReadonlySet<RoomId>,
): Promise<RoomJob[]> {
  const slices = new Slices();
  const jobs: RoomJob[] = [];
  for (const [roomId, choice] of chosen) {
    if (slices.isDue) await slices.pause();
    const record = rooms.get(roomId) ?? NO_RECORD;
    const told = toldUpTo(record, "events", from);
    const { room } = choice;
    const matcher = matcherOf(tellable(choice.config.requiredState, allMembers.has(roomId)));
    const known = configs[record.config] ?? NO_STATE;
    const isStripped = room.membership === "invite" || room.membership === "knock";
    const anew = room.membership === "join" && told !== undefined && room.membershipOrd > told;
    const isInitial = told === undefined || anew;
    const changed = told === undefined || room.changedOrd > told;
    const grown = !isStripped && !isInitial && matcher.key !== matcherOf(known).key && grows(matcher, known);
    const expanded = !isStripped && !isInitial && record.config !== STRIPPED && choice.config.timelineLimit > record.limit;
    if (isStripped ? !changed : !isInitial && !changed && !grown && !expanded) continue;
    const kind: JobKind = isStripped ? "stripped" : isInitial ? "initial" : "delta";
    jobs.push({ choice, roomId, kind, told: isInitial ? 0 : told, record, changed, matcher, known, grown, expanded });
  }
  return jobs;
}

/** Rooms that changed and are not asked about are told from here on when they are asked about again: LIVE becomes PREVIOUSLY. */
export function leaveBehind(
  rooms: Pick<AccountView, "sorted" | "byId">,
  chosen: ReadonlyMap<RoomId, unknown>,
  draft: StateDraft,
  from: number,
): void {
  for (const room of rooms.byId.values()) {
    if (room.changedOrd <= from || chosen.has(room.roomId)) continue;
    if (draft.room(room.roomId).told.events === LIVE) draft.tell(room.roomId, "events", from);
  }
}

/** The rooms that ask for every member. */
export function askingForAllMembers(chosen: ReadonlyMap<RoomId, ChosenRoom>): RoomId[] {
  return [...chosen.values()]
    .filter(({ room, config }) => room.membership === "join" && matcherOf(config.requiredState).allMembers)
    .map(({ room }) => room.roomId);
}

/** By config what of it can be told where not every member is known. */
const withoutMembers = new WeakMap<RequiredState, RequiredState>();

/** What of a config can be told: every member only where they are known. They come, as a config that has grown, once they are. */
function tellable(state: RequiredState, allMembers: boolean): RequiredState {
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

/** By what is asked for and what is known whether it has grown: the rooms of a connection share both. */
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
