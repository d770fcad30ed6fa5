/** The direct children of spaces at a position (S5 `spaces`). */

import { Slices } from "../base/slices.ts";
import { factsAt } from "../store/facts.ts";
import type { Tx } from "../store/db.ts";
import { stateAt } from "../store/state.ts";
import type { AccountNo, Position, RoomId } from "../wire/ids.ts";

/** How a space orders a child: the `order` of m.space.child (null: none), and its timestamp, ms. */
export type SpaceOrder = { readonly order: string | null; readonly ts: number };

/** By child room. */
export type SpaceChildren = ReadonlyMap<RoomId, SpaceOrder>;

type AccountTx = { readonly tx: Tx; readonly account: AccountNo };

/** Children of the spaces that the user is joined to. A child of several spaces has the order of the first. */
export async function spaceChildren(context: AccountTx, spaces: readonly RoomId[], at: Position): Promise<SpaceChildren> {
  const children = new Map<RoomId, SpaceOrder>();
  const ofSpaces = await childrenOfSpaces(context, spaces, at);
  for (const space of spaces) for (const [roomId, place] of ofSpaces.get(space) ?? []) if (!children.has(roomId)) children.set(roomId, place);
  return children;
}

/**
 * The children of each space. Spaces that the user is not joined to have none.
 * Spec, m.space.child: a child counts if `via` is a non-empty list; `order` counts if it is up to 50 characters of 0x20-0x7E.
 */
export async function childrenOfSpaces(context: AccountTx, spaces: readonly RoomId[], at: Position): Promise<ReadonlyMap<RoomId, SpaceChildren>> {
  const facts = await factsAt(context.tx, context.account, spaces, at);
  const joined = spaces.filter((space) => facts.get(space)?.membership === "join");
  const rows = await stateAt(
    context.tx,
    context.account,
    joined.map((roomId) => ({ roomId, at })),
    [["m.space.child", "*"]],
  );
  const slices = new Slices();
  const ofSpaces = new Map<RoomId, Map<RoomId, SpaceOrder>>(joined.map((space) => [space, new Map()]));
  for (const row of rows) {
    if (slices.isDue) await slices.pause();
    const place = placeOf(row.body);
    if (row.state_key !== null && place) ofSpaces.get(row.room_id)?.set(row.state_key as RoomId, place);
  }
  return ofSpaces;
}

/** null: the event does not make its room a child. */
function placeOf(body: string): SpaceOrder | null {
  const { content, origin_server_ts: ts } = JSON.parse(body) as { content?: { via?: unknown; order?: unknown }; origin_server_ts?: unknown };
  if (!Array.isArray(content?.via) || content.via.length === 0) return null;
  const { order } = content;
  return {
    order: typeof order === "string" && /^[\x20-\x7e]{1,50}$/.test(order) ? order : null,
    ts: Number.isFinite(ts) ? Number(ts) : 0,
  };
}
