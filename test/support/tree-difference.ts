/** Where two trees differ, and which of the differences are meant. */

import type { Tree } from "./answer-tree.ts";

/** `undefined`: not there. `topic`: what the requests are about that it comes of, where that matters. */
export type Difference = { readonly path: readonly string[]; readonly native: Tree; readonly ours: Tree; readonly topic?: string | undefined };

/**
 * A difference that is meant. `path`: parts with slashes between them, `{a;b}` for either, `*` for any one, `**` at the end for any rest.
 * `when`: of those at the path, which. `topic`: only of requests about this.
 */
export type IntendedDifference = {
  readonly path: string;
  readonly when?: (native: Tree, ours: Tree) => boolean;
  readonly topic?: string;
  /** Not in every run: which poll brings what is a matter of chance. */
  readonly sometimes?: true;
  readonly why: string;
};

/** All differences; of what only one side has, no parts. */
export function differencesOf(native: Tree, ours: Tree, path: readonly string[] = []): Difference[] {
  if (isComposite(native) && isComposite(ours) && Array.isArray(native) === Array.isArray(ours)) {
    // Parts of an array that have another place are best seen beside each other.
    if (Array.isArray(native) && !native.some(isComposite)) return JSON.stringify(native) === JSON.stringify(ours) ? [] : [{ path, native, ours }];
    const keys = new Set([...Object.keys(native), ...Object.keys(ours)]);
    return [...keys].flatMap((key) => differencesOf(native[key], ours[key], [...path, key]));
  }
  return Object.is(native, ours) ? [] : [{ path, native, ours }];
}

/** The first row that a difference is meant by. */
export function intentionOf(difference: Difference, table: readonly IntendedDifference[]): IntendedDifference | undefined {
  const { native, ours } = difference;
  return table.find(
    ({ path, when, topic }) =>
      (topic === undefined || topic === difference.topic) && matches(difference.path, path.split("/")) && (when?.(native, ours) ?? true),
  );
}

/** A difference in a line. */
export function inWords({ path, native, ours }: Difference): string {
  return `${path.join("/")}: the homeserver ${shown(native)}, we ${shown(ours)}`;
}

function matches(path: readonly string[], pattern: readonly string[]): boolean {
  const open = pattern.at(-1) === "**";
  const parts = open ? pattern.slice(0, -1) : pattern;
  if (open ? path.length < parts.length : path.length !== parts.length) return false;
  return parts.every((part, index) => part === "*" || alternatives(part).includes(path[index] ?? ""));
}

function alternatives(part: string): string[] {
  return part.startsWith("{") && part.endsWith("}") ? part.slice(1, -1).split(";") : [part];
}

function isComposite(value: Tree): value is Record<string, Tree> {
  return typeof value === "object" && value !== null;
}

function shown(value: Tree): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 600 ? `${text.slice(0, 600)}…` : text;
}
