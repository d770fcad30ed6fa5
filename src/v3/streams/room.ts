/** S4 Room: full state and timeline of one room, often the one on screen, or of every room that the list tracks. */

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
    const sent = await views(context, params, [{ roomId: params.roomId, step: gate.step }], { before: memory, after: gate.memory });
    if (gate.step !== "lost" || sent.needs) return sent;
    return { ...sent, answer: { rooms: sent.answer?.rooms ?? new Map(), forbidden: true }, news: true };
  },
};

async function trackedRooms(context: Context, params: RoomParams, memory: Memory | undefined): Promise<Evaluation<"room">> {
  const { staying, added, removed } = context.tracked;
  const standings = await membershipOver(context.tx, context.account, [...staying, ...removed], context.from.position, context.to);
  const pending = new Set(memory?.pending);
  const tasks: RoomTask[] = added.map((roomId) => ({ roomId, step: "start" }));
  for (const roomId of staying) {
    const standing = standings.get(roomId) ?? { joinedNow: false, interrupted: false };
    const { step } = gateStep(memory && !pending.has(roomId) ? "live" : undefined, standing);
    if (step === "start" || step === "delta") tasks.push({ roomId, step });
  }
  const gone = memory && removed.length > 0 ? await factsAt(context.tx, context.account, removed, context.to) : new Map();
  for (const roomId of memory ? removed : []) {
    if (!pending.has(roomId) && gone.get(roomId)?.membership !== "join") tasks.push({ roomId, step: "lost" });
  }
  // Rooms that start are expensive, so the rest of them is left to the next answers.
  const starting = tasks.filter((task) => task.step === "start").slice(requestBounds().startingRooms);
  const deferred = new Set(starting);
  const sent = tasks.filter((task) => !deferred.has(task));
  return views(
    context,
    params,
    sent,
    { before: memory, after: {} },
    [...deferred].map((task) => task.roomId),
  );
}

/** The rooms to send; if something must be fetched first, only what is needed (D24). @param deferred rooms that start in a later answer */
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
  // A room whose members are not available yet is left out, and starts once they are (D24).
  if (pending.length > 0 && params.roomId !== "room_list") return { ...NO_NEWS, memory: undefined };
  const sent = await roomViews(
    context,
    params,
    tasks.filter((task) => !pending.includes(task.roomId)),
  );
  if (sent.needs.length > 0) return { ...NO_NEWS, memory: before, needs: sent.needs };
  if (sent.late.length > 0 && params.roomId !== "room_list") return { ...NO_NEWS, memory: undefined };
  pending.push(...sent.late);
  const memory = pending.length > 0 ? { ...after, pending: pending.toSorted() } : after;
  const isLost = tasks.some((task) => task.step === "lost") && params.roomId !== "room_list";
  if (before && sent.rooms.size === 0 && !isLost) return { ...NO_NEWS, memory };
  return { answer: { rooms: sent.rooms }, news: true, memory };
}
