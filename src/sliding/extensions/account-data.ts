/** The account_data extension (MSC4548): the latest event of each type, global and of rooms, whatever the user's membership in them. */

import type { RoomId } from "../../wire/ids.ts";
import type { AccountView } from "../account-view.ts";
import { LIVE, type StateDraft, type SentUpTo } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import { type Scoped, spansOf } from "./scoped.ts";

/** Events as JSON texts, by room. */
export type RoomAccountData = ReadonlyMap<RoomId, readonly string[]>;

/** Global events that were not sent yet, as JSON texts; none if they are not asked for. */
export function newGlobalData(view: AccountView | null, from: number, scope: Scope | undefined, sent: SentUpTo): string[] {
  const after = sent === LIVE ? from : Math.min(sent ?? 0, from);
  return scope && view ? newer(view, "", after) : [];
}

/** Changes that come while the extension is disabled are sent once it is enabled again. */
export function noteGlobal({ from, to }: Pick<SlidingContext, "from" | "to">, scope: Scope | undefined, draft: StateDraft): void {
  if (scope) draft.setGlobal(LIVE);
  else if (draft.global === LIVE && from < to) draft.setGlobal(from);
}

export function newRoomData(view: AccountView, scoped: Scoped): RoomAccountData {
  const sent = spansOf(scoped).map(({ roomId, from }) => [roomId, newer(view, roomId, from)] as const);
  return new Map(sent.filter(([, events]) => events.length > 0));
}

function newer(view: AccountView, roomId: RoomId | "", after: number): string[] {
  return (view.data.get(roomId) ?? []).flatMap((row) => (row.ord > after ? [row.body] : []));
}
