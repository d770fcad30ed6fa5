/**
 * `GET /_matrix/client/versions`, where today's clients look for simplified sliding sync: the homeserver's answer with what this server adds, and
 * without what it cannot replace.
 */

import { withMember, withObject } from "../wire/json-edit.ts";
import { hasFeatures, SIMPLIFIED_SYNC, THREAD_SUBSCRIPTIONS } from "../wire/versions.ts";
import type { Edit } from "./json-answer.ts";

/**
 * Features of a homeserver's own sliding sync that ours lacks, because v2 does not have them. A client that relied on them would wait for what
 * never comes: threads; and profiles if its v2 does not have them.
 */
const WITHHELD = ["org.matrix.msc4360", "org.matrix.msc4262"] as const;

/** Extensions of ours that send what the homeserver's v2 has: there if it has that. Profiles, sticky events. */
const CARRIED = [
  ["org.matrix.msc4262", "org.matrix.msc4429"],
  ["org.matrix.msc4480", "org.matrix.msc4354"],
] as const;

/**
 * Thread subscriptions in sliding sync, which ours has from the homeserver's. Their endpoints (msc4306) are passed through in any case, so that flag
 * stays as the homeserver has it.
 */
const THREADS_IN_SYNC = "org.matrix.msc4308";

export type VersionsOptions = {
  /** The flags that this server supports. None: the homeserver's answer is unchanged. */
  readonly features: readonly string[];
  /** The answer of a homeserver with sliding sync of its own is unchanged. */
  readonly preferNative: boolean;
};

/** Whether a request is for the versions. */
export function asksVersions(method: string, segments: readonly string[]): boolean {
  return (method === "GET" || method === "HEAD") && segments.join("/") === "_matrix/client/versions";
}

/** The edit of the answer. */
export function editVersions({ features, preferNative }: VersionsOptions): Edit {
  return (text) => {
    if (features.length === 0 || (preferNative && hasNativeSync(text))) return null;
    return withObject(text, "unstable_features", (map) => {
      const present = JSON.parse(map) as Readonly<Record<string, unknown>>;
      const all = [...features, ...CARRIED.filter(([, theirs]) => present[theirs] === true).map(([ours]) => ours)];
      const lacking = hasFeatures(text, [SIMPLIFIED_SYNC, THREAD_SUBSCRIPTIONS]) ? WITHHELD : [...WITHHELD, THREADS_IN_SYNC];
      const withheld = lacking.filter((name) => Object.hasOwn(present, name) && !all.includes(name));
      const less = withheld.reduce((rest, name) => withMember(rest, name, () => "false"), map);
      return all.reduce((rest, name) => withMember(rest, name, () => "true"), less);
    });
  };
}

/** Whether a homeserver with this answer has simplified sliding sync itself. Throws SyntaxError if it is not JSON. */
export function hasNativeSync(versions: string): boolean {
  return hasFeatures(versions, [SIMPLIFIED_SYNC]);
}
