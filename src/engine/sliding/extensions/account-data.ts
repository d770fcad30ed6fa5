/** The account_data extension (MSC3959): the latest of each type, global and of rooms. */

import { readGlobalAccountData, readRoomAccountDataOf } from "../../../store/ephemeral.ts";
import type { RoomId } from "../../../wire/ids.ts";
import { LIVE, type StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import type { ChosenRoom } from "../select.ts";
import { scopedRooms } from "./scoped.ts";

/** Events as JSON texts. */
export type AccountDataResult = { readonly global: readonly string[]; readonly rooms: ReadonlyMap<RoomId, readonly string[]> };

export async function tellAccountData(
  context: SlidingContext,
  scope: Scope | undefined,
  chosen: Iterable<ChosenRoom>,
  draft: StateDraft,
): Promise<AccountDataResult> {
  const { tx, account, from, to } = context;
  const [{ first, later }, global] = await Promise.all([
    scopedRooms(context, "accountData", scope, chosen, draft),
    globalData(context, scope, draft),
  ]);
  const spans = [...first.map((roomId) => ({ roomId, from: 0 })), ...later];
  const rows = await readRoomAccountDataOf(tx, account, spans, to);
  // What came while nobody asked is told when somebody asks again.
  if (scope) draft.setGlobal(LIVE);
  else if (draft.global === LIVE && from < to) draft.setGlobal(from);
  const rooms = new Map([...Map.groupBy(rows, (row) => row.room_id)].map(([roomId, events]) => [roomId, events.map((event) => event.body)]));
  return { global, rooms };
}

async function globalData({ tx, account, from, to }: SlidingContext, scope: Scope | undefined, draft: StateDraft): Promise<string[]> {
  if (!scope) return [];
  const told = draft.global === LIVE ? from : (draft.global ?? 0);
  return told < to ? readGlobalAccountData(tx, account, { from: told, to }) : [];
}
