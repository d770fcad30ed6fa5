/** Rooms that are made, and who comes and goes. */

import type { Json } from "../support/synapse-api.ts";
import type { Operation, Operations } from "./operation.ts";
import type { Plan, Step, UserName } from "./plan.ts";
import type { World } from "./world.ts";

const ROOMS: readonly Json[] = [
  { preset: "public_chat", name: "Public" },
  { preset: "public_chat", name: "Old", room_version: "10" },
  { preset: "public_chat" },
  { preset: "public_chat", name: "Eleven", room_version: "11" },
  { preset: "private_chat", name: "Private" },
  { preset: "trusted_private_chat", is_direct: true },
  {
    preset: "public_chat",
    name: "To knock at",
    initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }],
  },
  {
    preset: "public_chat",
    name: "Secret past",
    initial_state: [{ type: "m.room.history_visibility", state_key: "", content: { history_visibility: "joined" } }],
  },
  { preset: "public_chat", name: "Space", creation_content: { type: "m.space" } },
];

async function create(world: World, step: Step): Promise<void> {
  const room = ROOMS[step.n ?? 0] ?? {};
  const body = { ...room, ...(step.whom !== undefined && { invite: [world.idOf(step.whom)] }) };
  if (JSON.stringify(body).includes("history_visibility")) world.mark(step.room, "hidden past");
  world.learn(step.room, await world.user(step).createRoom(body));
}

function planRoom(plan: Plan): Step {
  const by = plan.user();
  const room = plan.newRoom(by);
  const whom = plan.user();
  const step: Step = { kind: "create", by, room: room.name, n: plan.int(ROOMS.length) };
  if (whom === by || plan.chance(0.4)) return step;
  room.members.set(whom, "invite");
  return { ...step, whom };
}

/** What one does to another in a room. `from`: what the other may be there before; `to`: what after. */
function moving(kind: string, weight: number, from: readonly string[], to: string, path = kind): Operation {
  const planned = (plan: Plan): Step | null => {
    const at = plan.pair(from);
    if (at === null) return null;
    at.room.members.set(at.whom, to);
    return { kind, by: at.by, whom: at.whom, room: at.room.name };
  };
  return { weight, plan: planned, play: (world, step) => post(world, step, path, { user_id: world.idOf(step.whom) }) };
}

/** What somebody does in a room. */
function going(kind: string, weight: number, from: string, to: string | null, path = kind): Operation {
  const planned = (plan: Plan): Step | null => {
    const at = plan.standing(from);
    if (at === null) return null;
    if (to === null) at.room.members.delete(at.by);
    else at.room.members.set(at.by, to);
    return { kind, by: at.by, room: at.room.name };
  };
  return { weight, plan: planned, play: (world, step) => post(world, step, path) };
}

async function post(world: World, step: Step, path: string, body: Json = {}): Promise<void> {
  await world.user(step).call("POST", `/rooms/${encodeURIComponent(world.room(step))}/${path}`, body);
}

/** By somebody who is not in the room. */
function coming(kind: string, weight: number, to: string, play: Operation["play"]): Operation {
  const planned = (plan: Plan): Step | null => {
    const room = plan.pick(plan.rooms);
    const by = plan.user();
    if (!room || ["join", "ban", "invite"].includes(room.members.get(by) ?? "none")) return null;
    room.members.set(by, to);
    return { kind, by, room: room.name };
  };
  return { weight, plan: planned, play };
}

function planIgnoring(plan: Plan): Step | null {
  const by = plan.user();
  const whom = plan.user();
  if (by === whom) return null;
  const ignored = plan.ignored.get(by) ?? new Set<UserName>();
  plan.ignored.set(by, ignored);
  const isOn = !ignored.delete(whom);
  if (isOn) ignored.add(whom);
  return { kind: "ignore", by, whom, n: isOn ? 1 : 0 };
}

async function ignore(world: World, step: Step): Promise<void> {
  const user = world.user(step);
  const path = `/user/${encodeURIComponent(user.userId)}/account_data/m.ignored_user_list`;
  await user.call("PUT", path, { ignored_users: world.ignoring(step, step.n === 1) });
}

async function rename(world: World, step: Step): Promise<void> {
  const user = world.user(step);
  await user.call("PUT", `/profile/${encodeURIComponent(user.userId)}/displayname`, { displayname: `${step.by} ${step.n}` });
}

const FORGET = going("forget", 1, "leave", null);

/** Whoever comes is not told by v2 of the receipts that there are. */
function joining({ play, ...operation }: Operation): Operation {
  return {
    ...operation,
    play: async (world, step) => {
      await play(world, step);
      if (world.traits(step.room ?? "").includes("receipts")) world.mark(step.room, "joined after receipts");
    },
  };
}

export const MEMBERSHIPS: Operations = {
  create: { weight: 2, plan: planRoom, play: create },
  join: joining(coming("join", 5, "join", (world, step) => world.user(step).join(world.room(step)))),
  knock: coming("knock", 2, "knock", (world, step) => world.user(step).call("POST", `/knock/${encodeURIComponent(world.room(step))}`, {})),
  accept: joining(going("accept", 4, "invite", "join", "join")),
  decline: going("decline", 2, "invite", "leave", "leave"),
  retract: going("retract", 1, "knock", "leave", "leave"),
  leave: going("leave", 2, "join", "leave"),
  forget: {
    ...FORGET,
    play: async (world, step) => {
      world.mark(step.room, "forgotten");
      await FORGET.play(world, step);
    },
  },
  invite: moving("invite", 3, ["none", "leave", "knock"], "invite"),
  withdraw: moving("withdraw", 1, ["invite"], "leave", "kick"),
  kick: moving("kick", 1, ["join", "knock"], "leave"),
  ban: moving("ban", 1, ["join", "invite", "leave"], "ban"),
  unban: moving("unban", 1, ["ban"], "leave"),
  ignore: { weight: 1, plan: planIgnoring, play: ignore },
  rename: { weight: 1, plan: (plan) => ({ kind: "rename", by: plan.user(), n: plan.int(100) }), play: rename },
  upgrade: {
    weight: 1,
    plan: (plan) => {
      const old = plan.pick(plan.rooms.filter((room) => room.members.get(room.creator) === "join" && !plan.erased.has(room.creator)));
      return old ? { kind: "upgrade", by: old.creator, room: old.name, to: plan.newRoom(old.creator).name } : null;
    },
    play: async (world, step) => {
      const path = `/rooms/${encodeURIComponent(world.room(step))}/upgrade`;
      const { replacement_room } = await world.user(step).call<{ replacement_room: string }>("POST", path, { new_version: "11" });
      world.learn(step.to, replacement_room);
      // The new room has the old one's visibility of history.
      if (world.traits(step.room ?? "").includes("hidden past")) world.mark(step.to, "hidden past");
    },
  },
};
