/** The section of profiles (MSC4262), the same in both dialects. */

import { object, record } from "../../sync/json-text.ts";
import type { SlidingAnswer } from "../evaluate.ts";

/** null: there is nothing new. */
export function profilesText({ profiles }: SlidingAnswer): string | null {
  if (profiles.size === 0) return null;
  const users = record(profiles, (profile) => {
    if (profile === null) return "null";
    const { updated, removed } = profile;
    return object([updated.length > 0 && ["updated", object(updated)], removed.length > 0 && ["removed", JSON.stringify(removed)]]);
  });
  return `{"users":${users}}`;
}
