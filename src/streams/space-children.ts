/** The direct children of spaces at a position (S5 `spaces`). */

import { factsAt } from "../store/facts.ts";
import { stateAt } from "../store/state.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import type { SpacePlace } from "./room-list-sort.ts";
import type { Context } from "./stream.ts";

/** Child room → its place. */
export type SpaceChildren = ReadonlyMap<RoomId, SpacePlace>;

/**
 * Children of the spaces that the user is joined to, with their places; a child of several has its place of the first.
 * Spec, m.space.child: a child counts where `via` is a list with an entry; `order` counts where it is up to 50 characters of 0x20-0x7E.
 */
export async function spaceChildren(context: Pick<Context, "tx" | "account">, spaces: readonly RoomId[], at: Position): Promise<SpaceChildren> {
  const facts = await factsAt(context.tx, context.account, spaces, at);
  const joined = spaces.filter((space) => facts.get(space)?.membership === "join");
  const rows = await stateAt(
    context.tx,
    context.account,
    joined.map((roomId) => ({ roomId, at })),
    [["m.space.child", "*"]],
  );
  const children = new Map<RoomId, SpacePlace>();
  for (const space of joined) {
    for (const row of rows) {
      if (row.room_id !== space || row.state_key === null || children.has(row.state_key as RoomId)) continue;
      const event = JSON.parse(row.body) as { content?: { via?: unknown; order?: unknown }; origin_server_ts?: unknown };
      if (!Array.isArray(event.content?.via) || event.content.via.length === 0) continue;
      const order = event.content.order;
      const ts = event.origin_server_ts;
      children.set(row.state_key as RoomId, {
        order: typeof order === "string" && /^[\x20-\x7e]{1,50}$/.test(order) ? order : null,
        ts: typeof ts === "number" ? ts : 0,
      });
    }
  }
  return children;
}
