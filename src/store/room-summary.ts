/** What the summary of a room is made of, for rooms that the user is in, is invited to, or has knocked on. */

import { isObject } from "../wire/identifier.ts";
import type { AccountNo, RoomId } from "../wire/ids.ts";
import { type RoomSummaryParts, SUMMARY_TYPES } from "../wire/room-summary.ts";
import type { Db } from "./db.ts";
import { bodyOf } from "./event-row.ts";
import { parseIgnored } from "./ignored.ts";
import { parseFacts } from "./room-facts.ts";

/** null: nothing is stored of the room for the account, or the user is in it no more, or ignores who invited. */
export async function readRoomSummary(db: Db, account: AccountNo, room: RoomId): Promise<RoomSummaryParts | null> {
  const [row] = await db<{ membership: string; facts: string; ignored: string; inviter: string | null; stripped: string | null }[]>`
    select f.membership, f.facts, a.ignored, i.inviter, i.body as stripped
    from room_facts f join accounts a using (account)
    left join invites i on i.account = f.account and i.room_id = f.room_id and not i.gone
    where f.account = ${account} and f.room_id = ${room} and f.to_ord = 9223372036854775807`;
  if (!row) return null;
  const { membership, ignored, inviter, stripped } = row;
  const known = { roomId: room, joined: parseFacts(row.facts).joined_count };
  if (membership === "join") return { ...known, membership, contents: await stateContents(db, account, room) };
  const isPending = (membership === "invite" || membership === "knock") && stripped !== null;
  if (!isPending || parseIgnored(ignored).some((user) => user === inviter)) return null;
  return { ...known, membership, contents: strippedContents(stripped) };
}

async function stateContents(db: Db, account: AccountNo, room: RoomId): Promise<RoomSummaryParts["contents"]> {
  const rows = await db<{ type: string; body: string }[]>`
    select s.type, ${bodyOf(db, account)} as body from state s join events e using (event_id)
    where s.account = ${account} and s.room_id = ${room} and s.to_ord = 9223372036854775807
      and s.state_key = '' and s.type = any(${[...SUMMARY_TYPES]}::text[])`;
  return contentsOf(rows.map(({ type, body }) => [type, JSON.parse(body)]));
}

function strippedContents(stripped: string): RoomSummaryParts["contents"] {
  const { events } = JSON.parse(stripped) as { readonly events: readonly unknown[] };
  const ofRoom = events.filter(isObject).filter((event) => event["state_key"] === "");
  return contentsOf(ofRoom.map((event) => [String(event["type"]), event]));
}

function contentsOf(events: readonly (readonly [string, unknown])[]): RoomSummaryParts["contents"] {
  return new Map(events.flatMap(([type, event]) => (isObject(event) && isObject(event["content"]) ? [[type, event["content"]] as const] : [])));
}
