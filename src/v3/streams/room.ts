/** S4 Room: the whole state and timeline of a room, often the one on screen; or of every room that the list tracks. */

import { factsAt, membershipOver } from "../../store/facts.ts";
import { stateSelector } from "../../store/state.ts";
import type { RoomId } from "../../wire/ids.ts";
import { requestBounds } from "../../wire/request-bounds.ts";
import { gateStep, roomGate } from "./gate.ts";
import { membersSort, missingList } from "./room-members.ts";
import { namesAllMembers, roomViews } from "./room-view.ts";
import type { RoomParams, RoomTask } from "./room-params.ts";
import type { Need } from "../../sync/fetch-need.ts";
import type { Context, Evaluation, Memory, MemoryChange, Stream } from "./stream.ts";
import { clampLimit, NO_NEWS } from "./stream.ts";

export const room: Stream<"room", RoomParams> = {
  key: "room",
  kinds: new Set(["timeline", "state", "facts", "members"]),
  resolve: (asked) => ({
    roomId: asked.room_id ?? null,
    timelineLimit: clampLimit(asked.timeline_limit, 20, 100),
    types: asked.types,
    notTypes: asked.not_types,
    state: stateSelector(asked.state ?? "all"),
    memberLimit: clampLimit(asked.room_member_limit, 0, 1000),
    memberSort: membersSort(asked.room_member_sort),
    earliest: asked.earliest_timeline_event_ids ?? [],
  }),
  selection: (params) => [params.roomId, params.types, params.notTypes, params.state],
  async evaluate(context, params, memory) {
    if (params.roomId === null) return memory ? { ...NO_NEWS, memory } : { answer: { rooms: new Map() }, news: true, memory: {} };
    if (params.roomId === "room_list") return trackedRooms(context, params, memory);
    const gate = await roomGate(context, params.roomId, memory);
    if (gate.step === "forbid") return { answer: { forbidden: true }, news: true, memory: gate.memory };
    if (gate.step === "silent") return { ...NO_NEWS, memory: gate.memory };
    const told = await views(context, params, [{ roomId: params.roomId, step: gate.step }], { before: memory, after: gate.memory });
    if (gate.step !== "lost" || told.needs) return told;
    return { ...told, answer: { rooms: told.answer?.rooms ?? new Map(), forbidden: true }, news: true };
  },
};

async function trackedRooms(context: Context, params: RoomParams, memory: Memory | undefined): Promise<Evaluation<"room">> {
  const { kept, added, removed } = context.tracked;
  const standings = await membershipOver(context.tx, context.account, [...kept, ...removed], context.from.position, context.to);
  const pending = new Set(memory?.pending);
  const tasks: RoomTask[] = added.map((roomId) => ({ roomId, step: "start" }));
  for (const roomId of kept) {
    const standing = standings.get(roomId) ?? { joinedNow: false, interrupted: false };
    const { step } = gateStep(memory && !pending.has(roomId) ? "live" : undefined, standing);
    if (step === "start" || step === "delta") tasks.push({ roomId, step });
  }
  const gone = memory && removed.length > 0 ? await factsAt(context.tx, context.account, removed, context.to) : new Map();
  for (const roomId of memory ? removed : []) {
    if (!pending.has(roomId) && gone.get(roomId)?.membership !== "join") tasks.push({ roomId, step: "lost" });
  }
  // Rooms that start are the dear ones: the next answers have the others.
  const starting = tasks.filter((task) => task.step === "start").slice(requestBounds().startingRooms);
  const deferred = new Set(starting);
  const told = tasks.filter((task) => !deferred.has(task));
  return views(
    context,
    params,
    told,
    { before: memory, after: {} },
    [...deferred].map((task) => task.roomId),
  );
}

/** Rooms of an answer; only what they need, where something must be fetched first (D24). @param deferred rooms that start in a later answer */
async function views(
  context: Context,
  params: RoomParams,
  tasks: readonly RoomTask[],
  { before, after }: MemoryChange,
  deferred: readonly RoomId[] = [],
): Promise<Evaluation<"room">> {
  const needs: Need[] = [];
  const pending: RoomId[] = [...deferred];
  const wantsList = params.memberLimit > 0 || namesAllMembers(params.state);
  for (const task of wantsList ? tasks : []) {
    if (task.step !== "start") continue;
    const need = await missingList(context, task.roomId, true);
    if (need === "wait") pending.push(task.roomId);
    else if (need) needs.push(need);
  }
  if (needs.length > 0) return { ...NO_NEWS, memory: before, needs };
  // A room whose members cannot be had yet is left out, and starts when they are there (D24).
  if (pending.length > 0 && params.roomId !== "room_list") return { ...NO_NEWS, memory: undefined };
  const told = await roomViews(
    context,
    params,
    tasks.filter((task) => !pending.includes(task.roomId)),
  );
  if (told.needs.length > 0) return { ...NO_NEWS, memory: before, needs: told.needs };
  if (told.late.length > 0 && params.roomId !== "room_list") return { ...NO_NEWS, memory: undefined };
  pending.push(...told.late);
  const memory = pending.length > 0 ? { ...after, pending: pending.toSorted() } : after;
  const isLost = tasks.some((task) => task.step === "lost") && params.roomId !== "room_list";
  if (before && told.rooms.size === 0 && !isLost) return { ...NO_NEWS, memory };
  return { answer: { rooms: told.rooms }, news: true, memory };
}
