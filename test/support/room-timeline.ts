/** The timeline of one room, as a client of each API is sent it. */

import type { MatrixEvent } from "./events.ts";
import type { Api } from "./room-follower.ts";
import { SlidingClient } from "./sliding.ts";
import type { TestUser } from "./synapse-api.ts";
import type { V3Client } from "./v3.ts";

/** What one answer says of it. */
export type Piece = { readonly events: readonly MatrixEvent[]; readonly limited: boolean; readonly prevBatch: string | undefined };

/** The highest `timeline_limit` of sync v3. */
const LIMIT = 100;

/** A client that follows the room from its first request on. Each step is one request, which waits up to `timeout`, ms. Null: nothing is said of the room. */
export type TimelineSteps = (timeout?: number) => Promise<Piece | null>;

/** `connId`: names a connection of sliding sync, one for each dialect; sessions of sync v3 have none. */
export function followTimeline(client: V3Client, api: Api, room: string, connId: string): TimelineSteps {
  if (api === "v3") {
    let since: string | undefined;
    return async (timeout = 0) => {
      const answer = await client.sync({ room: { room_id: room, timeline_limit: LIMIT } }, { since, timeout });
      since = answer.next;
      const timeline = answer["room"]?.rooms?.[room]?.timeline;
      return timeline ? pieceOf({ ...timeline, timeline: timeline.events }) : null;
    };
  }
  const sliding = new SlidingClient(client, api);
  let pos: string | undefined;
  return async (timeout = 0) => {
    const answer = await sliding.sync(
      { connId: `${connId} ${api}`, lists: { all: { ranges: [[0, 9]], limit: LIMIT, state: [["m.room.member", "$ME"]] } } },
      { pos, timeout },
    );
    pos = answer.pos;
    const told = answer.rooms[room];
    return told?.["timeline"] ? pieceOf(told) : null;
  };
}

type Told = { readonly timeline?: readonly MatrixEvent[]; readonly limited?: boolean; readonly prev_batch?: string };

function pieceOf({ timeline = [], limited = false, prev_batch: prevBatch }: Told): Piece {
  return { events: timeline, limited, prevBatch };
}

/** Steps until the message with this text has come; what came since the last piece that was limited, as one piece. */
export async function timelineUpTo(step: TimelineSteps, text: string): Promise<Piece> {
  let all: Piece = { events: [], limited: false, prevBatch: undefined };
  while (!all.events.some((event) => event.content["body"] === text)) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const piece = await step(10_000);
    if (piece) all = piece.limited ? piece : { ...all, events: [...all.events, ...piece.events] };
  }
  return all;
}

/** Ids of all events that `/messages` has before a token, newest first; without one, of all that the user may see. */
export async function eventsBefore(user: TestUser, room: string, token?: string): Promise<string[]> {
  const ids: string[] = [];
  for (let from = token === undefined ? "" : `&from=${encodeURIComponent(token)}`; ;) {
    const path = `/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=30${from}`;
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { chunk, end } = await user.call<{ chunk: MatrixEvent[]; end?: string }>("GET", path);
    ids.push(...chunk.map((event) => event.event_id));
    if (end === undefined) return ids;
    from = `&from=${encodeURIComponent(end)}`;
  }
}
