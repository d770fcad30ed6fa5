/** Thread subscriptions (MSC4306) as sliding sync and the companion endpoint have them (MSC4308), in the form that Synapse sends. */

import { isIdentifier, isObject } from "./identifier.ts";
import type { RoomId } from "./ids.ts";
import { isEventId, isRoomId } from "./matrix-id.ts";

/** The extension's name while the MSC is open, and its companion endpoint. */
export const THREADS_EXTENSION = "io.element.msc4308.thread_subscriptions";
export const THREADS_PATH = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions";

export type ThreadChange = {
  readonly roomId: RoomId;
  readonly root: string;
  readonly subscribed: boolean;
  /** JSON: `automatic` of a subscription, and `bump_stamp`. */
  readonly change: string;
};

/** `stamp`: `bump_stamp`, higher for later changes. */
export type StampedChange = ThreadChange & { readonly stamp: number };

/** `next`: where the homeserver has older changes; null: these are all. */
export type ThreadChanges = { readonly changes: readonly StampedChange[]; readonly next: string | null };

/** Of the extension's section, or of an answer of the companion endpoint. What is malformed is left out, each change alone. */
export function readThreadChanges(section: unknown): ThreadChanges {
  if (!isObject(section)) return { changes: [], next: null };
  const next = section["prev_batch"] ?? section["end"];
  return {
    changes: [...changesIn(section["subscribed"], true), ...changesIn(section["unsubscribed"], false)],
    next: typeof next === "string" && next !== "" ? next : null,
  };
}

function changesIn(rooms: unknown, subscribed: boolean): StampedChange[] {
  const entries = (value: unknown) => (isObject(value) ? Object.entries(value) : []);
  return entries(rooms).flatMap(([roomId, threads]) =>
    entries(threads).flatMap(([root, said]) => {
      if (!isRoomId(roomId) || !isIdentifier(root) || !isEventId(root) || !isObject(said)) return [];
      const { automatic, bump_stamp: stamp } = said;
      // Strict clients refuse an answer where it is missing.
      if (typeof stamp !== "number" || !Number.isSafeInteger(stamp) || stamp < 0) return [];
      const change = JSON.stringify({ ...(subscribed && { automatic: automatic === true }), bump_stamp: stamp });
      return { roomId, root, subscribed, change, stamp };
    }),
  );
}

/** The members `subscribed` and `unsubscribed` of a section, each only if it has something. */
export function threadMembers(changes: readonly ThreadChange[]): (readonly [name: string, text: string])[] {
  const member = (name: string, those: readonly ThreadChange[]) => {
    const rooms = [...Map.groupBy(those, (one) => one.roomId)].map(
      ([roomId, threads]) => `${JSON.stringify(roomId)}:{${threads.map(({ root, change }) => `${JSON.stringify(root)}:${change}`).join(",")}}`,
    );
    return rooms.length > 0 ? [[name, `{${rooms.join(",")}}`] as const] : [];
  };
  const [subscribed, unsubscribed] = [changes.filter((one) => one.subscribed), changes.filter((one) => !one.subscribed)];
  return [...member("subscribed", subscribed), ...member("unsubscribed", unsubscribed)];
}
