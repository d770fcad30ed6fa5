/** The account_data extension (MSC3959): the latest of each type, global and of rooms. */

import type { RoomId } from "../../wire/ids.ts";
import type { AccountView } from "../account-view.ts";
import { LIVE, type StateDraft, type SentUpTo } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import { type Scoped, spansOf } from "./scoped.ts";

/** Events as JSON texts, by room. */
export type RoomAccountData = ReadonlyMap<RoomId, readonly string[]>;

/** The global events that were not told yet, as JSON texts; none where they are not asked for. */
export function tellGlobal(view: AccountView | null, from: number, scope: Scope | undefined, told: SentUpTo): string[] {
  const after = told === LIVE ? from : (told ?? 0);
  return scope && view ? newer(view, "", after) : [];
}

/** What came while nobody asked is told when somebody asks again. */
export function noteGlobal({ from, to }: Pick<SlidingContext, "from" | "to">, scope: Scope | undefined, draft: StateDraft): void {
  if (scope) draft.setGlobal(LIVE);
  else if (draft.global === LIVE && from < to) draft.setGlobal(from);
}

export function tellRoomAccountData(view: AccountView, scoped: Scoped): RoomAccountData {
  const told = spansOf(scoped).map(({ roomId, from }) => [roomId, newer(view, roomId, from)] as const);
  return new Map(told.filter(([, events]) => events.length > 0));
}

function newer(view: AccountView, roomId: RoomId | "", after: number): string[] {
  return (view.data.get(roomId) ?? []).flatMap((row) => (row.ord > after ? [row.body] : []));
}
