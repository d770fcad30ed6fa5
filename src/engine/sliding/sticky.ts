/** Sticky subscriptions, for clients of the old kind (SlidingBody.sticky): what a connection was asked for once stays. */

import type { RoomId } from "../../wire/ids.ts";
import type { ConnectionState, StateDraft } from "./connection-state.ts";
import type { RoomConfig, SlidingBody } from "./request.ts";
import { NO_STATE } from "./required-state.ts";

/** As many as MSC4186 has a request name: beyond them, the ones asked for longest ago end. */
const MAX_STICKY = 100;

/** The request with the subscriptions that stay; notes them in `draft`. */
export function mergeSticky(body: SlidingBody, state: ConnectionState, draft: StateDraft): SlidingBody {
  if (!body.sticky) return body;
  const ended = new Set(body.sticky.unsubscribe.filter((roomId) => !body.subscriptions.has(roomId)));
  const kept = [...state.sticky].filter(([roomId]) => !ended.has(roomId) && !body.subscriptions.has(roomId));
  if (kept.length < state.sticky.size || body.subscriptions.size > 0) {
    const fresh = [...body.subscriptions].map(([roomId, config]) => [roomId, [config.timelineLimit, draft.config(config.requiredState)]] as const);
    draft.setSticky(new Map([...kept, ...fresh].slice(-MAX_STICKY)));
  }
  const before = kept.map(([roomId, [timelineLimit, config]]): [RoomId, RoomConfig] => [
    roomId,
    { timelineLimit, requiredState: state.configs[config] ?? NO_STATE },
  ]);
  return { ...body, subscriptions: new Map([...before, ...body.subscriptions]) };
}
