/** Sticky subscriptions, for clients of the old kind (SlidingBody.sticky): what a connection was asked for once stays. */

import type { RoomId } from "../wire/ids.ts";
import { requestBounds } from "../wire/request-bounds.ts";
import type { ConnectionState, StateDraft } from "./connection-state.ts";
import type { RoomConfig, SlidingBody } from "./request.ts";
import { NO_STATE } from "./required-state.ts";

/** The request with the subscriptions that stay; notes them in `draft`. */
export function mergeSticky(body: SlidingBody, state: ConnectionState, draft: StateDraft): SlidingBody {
  if (!body.sticky) return body;
  const ended = new Set(body.sticky.unsubscribe.filter((roomId) => !body.subscriptions.has(roomId)));
  const kept = [...state.sticky].filter(([roomId]) => !ended.has(roomId) && !body.subscriptions.has(roomId));
  if (kept.length < state.sticky.size || body.subscriptions.size > 0) {
    const fresh = [...body.subscriptions].map(([roomId, config]) => [roomId, [config.timelineLimit, draft.config(config.requiredState)]] as const);
    draft.setSticky(new Map(newest([...kept, ...fresh], draft)));
  }
  const before = kept.map(([roomId, [timelineLimit, config]]): [RoomId, RoomConfig] => [
    roomId,
    { timelineLimit, requiredState: state.configs[config] ?? NO_STATE },
  ]);
  return { ...body, subscriptions: new Map([...before, ...body.subscriptions]) };
}

type StickyEntry = readonly [RoomId, readonly [timelineLimit: number, config: number]];

/** As many of the last ones as may be remembered, by their number and by the size of their configs: those asked for longest ago end. */
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
