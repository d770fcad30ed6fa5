/** What is done to servers: ours goes away and comes back, the homeserver starts anew, its admins delete and purge. */

import type { Json } from "../support/synapse-api.ts";
import type { Operation, Operations } from "./operation.ts";
import type { Plan, Step } from "./plan.ts";
import type { World } from "./world.ts";

async function purge(world: World, step: Step): Promise<void> {
  const body = { purge_up_to_event_id: world.event(step.to), delete_local_events: true };
  world.mark(step.room, "purged");
  await ended(world, `/_synapse/admin/v1/purge_history/${encodeURIComponent(world.room(step))}`, "POST", body, "purge");
}

async function deleteRoom(world: World, step: Step): Promise<void> {
  world.mark(step.room, "deleted");
  await ended(world, `/_synapse/admin/v2/rooms/${encodeURIComponent(world.room(step))}`, "DELETE", { purge: true }, "delete");
}

/** Starts something at the homeserver and waits until it is done. */
async function ended(world: World, path: string, method: string, body: Json, what: "purge" | "delete"): Promise<void> {
  const started = await world.admin.call<{ purge_id?: string; delete_id?: string }>(method, path, body);
  const id = started.purge_id ?? started.delete_id ?? "";
  const status = what === "purge" ? `/_synapse/admin/v1/purge_history_status/${id}` : `/_synapse/admin/v2/rooms/delete_status/${id}`;
  await world.until(async () => ["complete", "failed"].includes((await world.admin.call<{ status: string }>("GET", status)).status));
}

/** Of our server. */
const away = (kind: string, weight: number, isAway: boolean, play: Operation["play"]): Operation => ({
  weight,
  plan: (plan: Plan) => {
    plan.isAway = isAway;
    return { kind };
  },
  play,
});

export const ADMINISTRATION: Operations = {
  "we go away": away("we go away", 1, true, (world) => world.server.stop()),
  "we come back": { weight: 2, plan: (plan) => (plan.isAway ? { kind: "we come back" } : null), play: (world) => world.server.start() },
  "we are killed": away("we are killed", 1, false, (world) => world.server.kill()),
  "the homeserver starts anew": {
    weight: 1,
    plan: (plan) => (plan.chance(0.3) ? { kind: "the homeserver starts anew" } : null),
    play: (world) => world.restartHomeserver(),
  },
  "the homeserver is backed up": {
    weight: 1,
    plan: (plan) => {
      if (!plan.chance(0.5)) return null;
      plan.backUp();
      return { kind: "the homeserver is backed up" };
    },
    play: (world) => world.backUpHomeserver(),
  },
  "the homeserver is restored": {
    weight: 6,
    plan: (plan) => (plan.restore() ? { kind: "the homeserver is restored" } : null),
    play: (world) => world.restoreHomeserver(),
  },
  "purge history": {
    weight: 1,
    plan: (plan) => {
      const room = plan.pick(plan.rooms.filter(({ events }) => events.length > 4));
      const to = room?.events[Math.floor(room.events.length / 2)];
      return room && to !== undefined && plan.chance(0.5) ? { kind: "purge history", room: room.name, to } : null;
    },
    play: purge,
  },
  "delete a room": {
    weight: 1,
    plan: (plan) => {
      const room = plan.chance(0.3) ? plan.pick(plan.rooms.slice(0, -2)) : undefined;
      if (!room) return null;
      plan.rooms.splice(plan.rooms.indexOf(room), 1, { ...room, members: new Map(), events: [] });
      return { kind: "delete a room", room: room.name };
    },
    play: deleteRoom,
  },
  erase: {
    weight: 1,
    plan: (plan) => {
      if (plan.erased.size > 0 || !plan.chance(0.15)) return null;
      plan.erased.add("dave");
      return { kind: "erase", by: "dave" };
    },
    play: (world, step) => world.erase(step.by ?? "dave"),
  },
};
