/** An answer of paginated sync (MSC4525): rooms and extensions as the dialect of the request has them, without lists. */

import type { DeviceNo } from "../../wire/ids.ts";
import { type Member, object } from "../../sync/json-text.ts";
import type { RoomResult } from "../room-content.ts";
import type { SlidingReply } from "../sliding-engine.ts";
import type { PagedRequest } from "./paged-request.ts";
import { answerBytes, type RoomDialect } from "./room-text.ts";
import * as unstable from "./unstable-answer.ts";
import * as v4 from "./v4-answer.ts";

/** As JSON. */
export function pagedAnswer({ pos, answer }: SlidingReply, { names, body }: PagedRequest, device: DeviceNo): Promise<Buffer> {
  const total = [...answer.lists.values()].reduce((sum, { count }) => sum + count, 0);
  const head = object([
    ["pos", JSON.stringify(pos)],
    answer.pending > 0 && ["pending", String(answer.pending)],
    ["total_rooms", String(total)],
    ["extensions", names ? v4.extensionsText(answer, names, device) : unstable.extensionsText(answer, body.extensions, device)],
  ]);
  return answerBytes(head, answer, device, names ? V4 : UNSTABLE);
}

const V4: RoomDialect = {
  members: v4.roomMembers,
  tail: (room) => (v4.isStripped(room.content) ? [] : tail(room)),
  fragments: v4.fragments,
};
const UNSTABLE: RoomDialect = {
  members: (content, event) => unstable.roomMembers(content, false, event),
  tail,
  fragments: unstable.fragments,
};

/** All new events are live, so there is no num_live. */
function tail({ paging }: RoomResult): (Member | undefined)[] {
  return [paging && ["prev_batch", JSON.stringify(paging.prevBatch)]];
}
