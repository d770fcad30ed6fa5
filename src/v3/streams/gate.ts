/**
 * Whether a room may be sent to a session now (D18): a pure decision, so that every stream makes the same one.
 *
 *                joined: start                      still joined: delta
 *   (nothing) ------------------> live <----------------------------------+
 *       |                         |  ^ joined again in between: start      |
 *       | not joined: forbid      |  +-------------------------------------+
 *       v                         | not joined any more: lost (sent once)
 *    forbidden <------------------+
 *       |  ^ still not joined: silent
 *       +--+-- joined: start (by itself) --> live
 */

import { membershipOver } from "../../store/facts.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { Context, GatePhase, Memory } from "./stream.ts";

export type GateStep = "start" | "delta" | "lost" | "forbid" | "silent";

export type RoomStanding = { readonly joinedNow: boolean; readonly interrupted: boolean };

/** The next step, and the phase after it. `phase` undefined: the stream starts (D13). */
export function gateStep(phase: GatePhase | undefined, standing: RoomStanding): { step: GateStep; phase: GatePhase } {
  if (!standing.joinedNow) {
    if (phase === "live") return { step: "lost", phase: "forbidden" };
    return { step: phase === undefined ? "forbid" : "silent", phase: "forbidden" };
  }
  if (phase === "live" && !standing.interrupted) return { step: "delta", phase: "live" };
  return { step: "start", phase: "live" };
}

/** Reads the user's membership over the context's span, and decides. */
export async function roomGate(context: Context, roomId: RoomId, memory: Memory | undefined): Promise<{ step: GateStep; memory: Memory }> {
  const standings = await membershipOver(context.tx, context.account, [roomId], context.from.position, context.to);
  const standing = standings.get(roomId) ?? { joinedNow: false, interrupted: false };
  const { step, phase } = gateStep(memory?.phase, standing);
  return { step, memory: { ...memory, phase } };
}
