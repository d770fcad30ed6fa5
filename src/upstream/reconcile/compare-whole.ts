/**
 * One sync without `since` for everything that is cheap to ask in no other way: which invites there are, and whether many rooms are gone. It costs the
 * homeserver nearly as much as an account's first sync, so it is asked at most once a day and account, and few at a time over all processes. If
 * somebody is un-ignored (T2), invites alone are asked for, at most once an hour.
 */

import type { SecretBox } from "../../base/secret-box.ts";
import type { Sql } from "../../store/db.ts";
import { type DueCheck, freeSyncSlot, noteComparison, SYNC_SLOT_MS, takeSyncSlot } from "../../store/room-checks.ts";
import { openToken } from "../../store/tokens.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { cutResponse, type V2Response } from "../../wire/v2-response.ts";
import type { HomeserverClient } from "../client.ts";
import { keyOf, withParts } from "../ingest/parts.ts";
import { madeLeave } from "./made-leave.ts";

export type CompareDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "sync">;
  readonly box: SecretBox;
  /** Stores a response, without rooms that changed after their position here. */
  readonly store: (response: V2Response, unchangedSince: ReadonlyMap<RoomId, Position>) => Promise<boolean>;
};

const NOTHING = { not_types: ["*"] };
const filterOf = (timeline: object) =>
  JSON.stringify({
    room: { timeline: { limit: 1, ...timeline }, state: NOTHING, ephemeral: NOTHING, account_data: NOTHING },
    account_data: NOTHING,
    presence: NOTHING,
  });
/** `rooms`: one event a room, so that homeservers that leave out empty rooms list it. `invites`: no events at all, which costs a third. */
const FILTERS = { rooms: filterOf({}), invites: filterOf(NOTHING) };

/**
 * Ends invites that the homeserver no longer has, and stores those that it has and never told.
 * @param pending the invites that are stored
 * @param purpose `rooms`: the homeserver's list of rooms is needed, too
 * @returns the rooms that the account is in; "busy": too many such syncs are under way
 */
export async function compareWhole(
  { sql, client, box, store }: CompareDeps,
  { check, pending, purpose }: { readonly check: DueCheck; readonly pending: readonly RoomId[]; readonly purpose: keyof typeof FILTERS },
  signal: AbortSignal,
): Promise<ReadonlySet<RoomId> | "busy"> {
  const slot = await takeSyncSlot(sql, SYNC_SLOT_MS);
  if (slot === null) return "busy";
  try {
    const { account, userId, position } = check;
    const answer = await client.sync(openToken(box, check), { since: null, timeout: 0, filter: FILTERS[purpose] }, signal);
    if (purpose === "rooms") await noteComparison(sql, account);
    const response = cutResponse(answer.text, answer.receivedAt);
    const since = (rooms: readonly RoomId[]) => new Map(rooms.map((room) => [room, position]));
    const gone = pending.filter((room) => !response.invite.has(room));
    if (gone.length > 0) await store(madeLeave(gone, userId, answer.receivedAt), since(gone));
    const unknown = [...response.invite.keys()].filter((room) => !pending.includes(room));
    const invites = withParts(
      { ...response, join: new Map(), leave: new Map(), knock: new Map() },
      new Set(unknown.map((name) => keyOf({ kind: "room", name }))),
    );
    if (unknown.length > 0) await store(invites, since(unknown));
    return new Set(response.join.keys());
  } finally {
    await freeSyncSlot(sql, slot);
  }
}
