/** Everything that can happen in a history: how it is planned, and how it is done to a real homeserver. */

import { ADMINISTRATION } from "./operations-of-admins.ts";
import { DEVICES } from "./operations-of-devices.ts";
import { MEMBERSHIPS } from "./operations-of-members.ts";
import { MESSAGES } from "./operations-of-messages.ts";
import type { Operations } from "./operation.ts";
import { Plan, type Step } from "./plan.ts";
import type { World } from "./world.ts";

/** The quiet point, at which all is compared; a history's last step. */
export const CHECK: Step = { kind: "check" };

const OPERATIONS: Operations = { ...MESSAGES, ...MEMBERSHIPS, ...DEVICES, ...ADMINISTRATION };

export const OPERATION_NAMES: readonly string[] = Object.keys(OPERATIONS);

/** A history of so many rounds, each ending with a quiet point. */
export function historyOf(seed: number, rounds: number, stepsEach: number): Step[] {
  const plan = new Plan(seed);
  const steps: Step[] = [];
  const add = (kind: string) => {
    const step = OPERATIONS[kind]?.plan(plan) ?? null;
    if (step !== null) steps.push(step);
    return step !== null;
  };
  for (let i = 0; i < 3; i += 1) add("create");
  const kinds = Object.entries(OPERATIONS).flatMap(([kind, { weight }]) => Array.from({ length: weight }, () => kind));
  for (let round = 0; round < rounds; round += 1) {
    for (let done = 0, tries = 0; done < stepsEach && tries < stepsEach * 5; tries += 1) if (add(plan.pick(kinds) ?? "say")) done += 1;
    plan.isAway = false;
    steps.push(CHECK);
  }
  return steps;
}

/** @throws where the homeserver refuses it, or where what it names was not made */
export async function play(world: World, step: Step): Promise<void> {
  await OPERATIONS[step.kind]?.play(world, step);
}
