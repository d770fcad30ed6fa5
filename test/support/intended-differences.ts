/** Where simplified sliding sync is answered otherwise than by Synapse, and why. Everything else is the same. */

import type { IntendedDifference } from "./tree-difference.ts";

/** Paths as of `answer-tree.ts`. */
export const INTENDED_DIFFERENCES: readonly IntendedDifference[] = [];
