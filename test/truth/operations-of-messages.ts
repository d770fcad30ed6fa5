/** Messages and what refers to them, state, receipts, typing, account data. */

import type { Json } from "../support/synapse-api.ts";
import type { Operation, Operations } from "./operation.ts";
import type { Plan, PlannedRoom, Step } from "./plan.ts";
import type { World } from "./world.ts";

/** By somebody in a room. */
function inRoom(kind: string, more: (plan: Plan, room: PlannedRoom) => Partial<Step> | null): Operation["plan"] {
  return (plan) => {
    const at = plan.standing("join");
    const rest = at && more(plan, at.room);
    return rest && { kind, by: at.by, room: at.room.name, ...rest };
  };
}

/** About an event of the room. */
const about = (plan: Plan, room: PlannedRoom): Partial<Step> | null => {
  const to = plan.pick(room.events.slice(-12));
  return to === undefined ? null : { to };
};

/** A new event about another one. */
const aboutNew = (plan: Plan, room: PlannedRoom): Partial<Step> | null => {
  const found = about(plan, room);
  return found && { ...found, event: plan.newEvent(room) };
};

const text = (body: string): Json => ({ msgtype: "m.text", body });

async function send(world: World, step: Step, content: Json, type = "m.room.message"): Promise<void> {
  world.learn(step.event, await world.user(step).send(world.room(step), content, type));
}

function state(name: string, weight: number, type: string, content: (step: Step, plan: number) => Json): Operation {
  return {
    weight,
    plan: inRoom(name, (plan, room) => ({ event: plan.newEvent(room), n: plan.int(6) })),
    play: async (world, step) => world.learn(step.event, await world.user(step).setState(world.room(step), type, "", content(step, step.n ?? 0))),
  };
}

const relating = (rel_type: string, world: World, { to }: Step): Json => ({ "m.relates_to": { rel_type, event_id: world.event(to) } });

const receipts: Operations = Object.fromEntries(
  (["m.read", "m.read.private"] as const).flatMap((kind) =>
    [false, true].map((isThreaded): [string, Operation] => {
      const name = `${kind === "m.read" ? "read" : "read privately"}${isThreaded ? " in a thread" : ""}`;
      const play = async (world: World, step: Step) => {
        const event = encodeURIComponent(world.event(step.to));
        world.mark(step.room, "receipts");
        if (isThreaded) world.mark(step.room, "threaded receipts");
        const path = `/rooms/${encodeURIComponent(world.room(step))}/receipt/${kind}/${event}`;
        await world.user(step).call("POST", path, isThreaded ? { thread_id: "main" } : {});
      };
      return [name, { weight: 2, plan: inRoom(name, about), play }];
    }),
  ),
);

async function setTag(world: World, step: Step): Promise<void> {
  const user = world.user(step);
  const tag = (step.n ?? 0) < 4 ? "m.favourite" : "u.work";
  const path = `/user/${encodeURIComponent(user.userId)}/rooms/${encodeURIComponent(world.room(step))}/tags/${tag}`;
  await user.call((step.n ?? 0) % 2 === 0 ? "PUT" : "DELETE", path, (step.n ?? 0) % 2 === 0 ? { order: 0.1 } : undefined);
}

async function setData(world: World, step: Step, type: string, content: Json): Promise<void> {
  const user = world.user(step);
  const room = step.room === undefined ? "" : `/rooms/${encodeURIComponent(world.room(step))}`;
  await user.call("PUT", `/user/${encodeURIComponent(user.userId)}${room}/account_data/${type}`, content);
}

const VISIBILITIES = ["shared", "joined", "invited", "shared", "world_readable"];

export const MESSAGES: Operations = {
  say: {
    weight: 14,
    plan: inRoom("say", (plan, room) => ({ event: plan.newEvent(room) })),
    play: (world, step) => send(world, step, text(`text of ${step.event}`)),
  },
  "say much": {
    weight: 1,
    plan: inRoom("say much", (plan) => ({ n: 15 + plan.int(30) })),
    play: async (world, step) => {
      for (let i = 0; i < (step.n ?? 0); i += 1) await world.user(step).send(world.room(step), `one of many, ${i}`);
    },
  },
  mention: {
    weight: 2,
    plan: inRoom("mention", (plan, room) => ({ event: plan.newEvent(room), whom: plan.user() })),
    play: (world, step) => {
      const whom = world.idOf(step.whom);
      return send(world, step, { ...text(`look, ${whom}`), "m.mentions": { user_ids: [whom] } });
    },
  },
  edit: {
    weight: 3,
    plan: inRoom("edit", aboutNew),
    play: (world, step) =>
      send(world, step, { ...text(`* edited by ${step.event}`), "m.new_content": text("edited"), ...relating("m.replace", world, step) }),
  },
  react: {
    weight: 3,
    plan: inRoom("react", aboutNew),
    play: (world, step) =>
      send(world, step, { "m.relates_to": { rel_type: "m.annotation", key: String(step.event), event_id: world.event(step.to) } }, "m.reaction"),
  },
  thread: {
    weight: 4,
    plan: inRoom("thread", aboutNew),
    play: (world, step) => send(world, step, { ...text(`in a thread, ${step.event}`), ...relating("m.thread", world, step) }),
  },
  redact: {
    weight: 4,
    plan: inRoom("redact", aboutNew),
    play: async (world, step) => {
      const path = `/rooms/${encodeURIComponent(world.room(step))}/redact/${encodeURIComponent(world.event(step.to))}/${step.event}`;
      const { event_id } = await world.user(step).call<{ event_id: string }>("PUT", path, {});
      world.learn(step.event, event_id);
    },
  },
  name: state("name", 2, "m.room.name", (step, n) => ({ name: n === 0 ? "" : `Name of ${step.event}` })),
  topic: state("topic", 2, "m.room.topic", (step) => ({ topic: `Topic of ${step.event}` })),
  avatar: state("avatar", 1, "m.room.avatar", (step, n) => (n < 2 ? {} : { url: `mxc://hs.test/${step.event}` })),
  encrypt: state("encrypt", 1, "m.room.encryption", () => ({ algorithm: "m.megolm.v1.aes-sha2" })),
  visibility: {
    weight: 1,
    plan: inRoom("visibility", (plan, room) => ({ event: plan.newEvent(room), n: plan.int(VISIBILITIES.length) })),
    play: async (world, step) => {
      const history_visibility = VISIBILITIES[step.n ?? 0];
      if (["joined", "invited"].includes(history_visibility ?? "")) world.mark(step.room, "hidden past");
      world.learn(step.event, await world.user(step).setState(world.room(step), "m.room.history_visibility", "", { history_visibility }));
    },
  },
  type: {
    weight: 1,
    plan: inRoom("type", (plan) => ({ n: plan.int(2) })),
    play: (world, step) => world.user(step).typing(world.room(step), step.n === 0),
  },
  tag: { weight: 2, plan: inRoom("tag", (plan) => ({ n: plan.int(8) })), play: setTag },
  "room data": {
    weight: 1,
    plan: inRoom("room data", (plan) => ({ n: plan.int(100) })),
    play: (world, step) => setData(world, step, "test.setting", { n: step.n }),
  },
  data: {
    weight: 1,
    plan: (plan) => ({ kind: "data", by: plan.user(), n: plan.int(100) }),
    play: (world, step) => setData(world, step, `test.setting.${(step.n ?? 0) % 3}`, { n: step.n }),
  },
  ...receipts,
};
