/** What every operation has. */

import type { Plan, Step } from "./plan.ts";
import type { World } from "./world.ts";

export type Operation = {
  /** How often, against the others. */
  readonly weight: number;
  /** The next step of this kind; null where none makes sense. */
  readonly plan: (plan: Plan) => Step | null;
  readonly play: (world: World, step: Step) => Promise<unknown>;
};
export type Operations = Readonly<Record<string, Operation>>;
