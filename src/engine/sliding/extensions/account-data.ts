/** The account_data extension (MSC3959): the latest of each type, global and of rooms. */

import { readGlobalAccountData, readRoomAccountDataOf } from "../../../store/ephemeral.ts";
import type { Position, RoomId } from "../../../wire/ids.ts";
import { LIVE, type StateDraft, type Told } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import { type Scoped, spansOf } from "./scoped.ts";

/** Events as JSON texts, by room. */
export type RoomAccountData = ReadonlyMap<RoomId, readonly string[]>;

/** The global events that were not told yet, as JSON texts; none where they are not asked for. The transaction sees nothing later. */
export async function readGlobal(opening: Pick<SlidingContext, "tx" | "account" | "from">, scope: Scope | undefined, told: Told): Promise<string[]> {
  if (!scope) return [];
  const from = told === LIVE ? opening.from : (told ?? 0);
  return readGlobalAccountData(opening.tx, opening.account, { from, to: Number.MAX_SAFE_INTEGER as Position });
}

/** What came while nobody asked is told when somebody asks again. */
export function noteGlobal({ from, to }: SlidingContext, scope: Scope | undefined, draft: StateDraft): void {
  if (scope) draft.setGlobal(LIVE);
  else if (draft.global === LIVE && from < to) draft.setGlobal(from);
}

export async function tellRoomAccountData({ tx, account, to }: SlidingContext, scoped: Scoped): Promise<RoomAccountData> {
  const rows = await readRoomAccountDataOf(tx, account, spansOf(scoped), to);
  return new Map([...Map.groupBy(rows, (row) => row.room_id)].map(([roomId, events]) => [roomId, events.map((event) => event.body)]));
}
