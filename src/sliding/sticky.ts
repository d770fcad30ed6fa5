/** Sticky subscriptions for old-style clients (SlidingBody.sticky): they last until the client ends them. */

import type { RoomId } from "../wire/ids.ts";
import { requestBounds } from "../wire/request-bounds.ts";
import type { ConnectionState, StateDraft } from "./connection-state.ts";
import type { RoomConfig, SlidingBody } from "./request.ts";
import { NO_STATE } from "./required-state.ts";

type StickyEntry = readonly [RoomId, readonly [timelineLimit: number, config: number]];

/** A request with the subscriptions that stay from earlier requests. */
export function withSticky(body: SlidingBody, state: ConnectionState): SlidingBody {
  if (!body.sticky) return body;
  const before = remaining(body, body.sticky.unsubscribe, state).map(([roomId, [timelineLimit, config]]): [RoomId, RoomConfig] => [
    roomId,
    { timelineLimit, requiredState: state.configs[config] ?? NO_STATE },
  ]);
  return { ...body, subscriptions: new Map([...before, ...body.subscriptions]) };
}

/** Notes in `draft` which subscriptions stay after a request. @param body the request without those of earlier ones */
export function noteSticky(body: SlidingBody, state: ConnectionState, draft: StateDraft): void {
  if (!body.sticky) return;
  const before = remaining(body, body.sticky.unsubscribe, state);
  if (before.length === state.sticky.size && body.subscriptions.size === 0) return;
  const added = [...body.subscriptions].map(([roomId, config]) => [roomId, [config.timelineLimit, draft.config(config.requiredState)]] as const);
  draft.setSticky(new Map(newest([...before, ...added], draft)));
}

/** The earlier subscriptions that a request neither ends nor replaces. */
function remaining({ subscriptions }: SlidingBody, unsubscribe: readonly RoomId[], { sticky }: ConnectionState): StickyEntry[] {
  const ended = new Set(unsubscribe.filter((roomId) => !subscriptions.has(roomId)));
  return [...sticky].filter(([roomId]) => !ended.has(roomId) && !subscriptions.has(roomId));
}

/** The newest entries that may be remembered, by their number and by the size of their configs. */
function newest(entries: readonly StickyEntry[], draft: StateDraft): readonly StickyEntry[] {
  const { stickySubscriptions, stateCharacters } = requestBounds();
  const last = entries.slice(-stickySubscriptions);
  const counted = new Set<number>();
  let characters = 0;
  const surplus = last.findLastIndex(([, [, config]]) => {
    if (!counted.has(config)) characters += draft.configSize(config);
    counted.add(config);
    return characters > stateCharacters;
  });
  return last.slice(surplus + 1);
}
