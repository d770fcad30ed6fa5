/** Reads the newest events of a room again, to find what the homeserver had withheld (T2). */

import type { Sql } from "../store/db.ts";
import { syncedUpTo } from "../store/fetch-start.ts";
import { unknownSenders } from "../store/ingest/withheld.ts";
import { type CutEvent, cutEvent } from "../wire/event.ts";
import type { AccountNo, RoomId, UserId } from "../wire/ids.ts";
import { isCutKey } from "../wire/index-key.ts";
import type { HomeserverClient } from "./client.ts";
import { readPage } from "./history-page.ts";
import { cutAll } from "./ingest/store-older.ts";
import type { RoomPage } from "./ingest/store-withheld.ts";
import type { QuestionBudget } from "./reconcile/question-budget.ts";

export type WithheldDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "messages" | "member">;
  readonly questions: Pick<QuestionBudget, "ask">;
};

/** As many as a client may ask for of a timeline. */
const PAGE = 100;
/** Most members that are asked for with a page. */
const MOST_MEMBERS = 5;

/**
 * The room's newest events that are not newer than what polls brought, and the members who sent what is unknown of them.
 * @param known member events that are known already, by user
 */
export async function readWithheld(
  { sql, client, questions }: WithheldDeps,
  {
    account,
    token,
    roomId,
    known,
  }: { readonly account: AccountNo; readonly token: string; readonly roomId: RoomId; readonly known: ReadonlyMap<UserId, string> },
  signal: AbortSignal,
): Promise<RoomPage> {
  const synced = await syncedUpTo(sql, account);
  if (!synced) throw new Error("the account is not synced");
  const from = synced.since;
  const { chunk, end } = await questions.ask("client", signal, () => readPage(client, token, { roomId, from, limit: PAGE }, signal));
  const now = Date.now();
  const events = cutAll(chunk, now).toReversed();
  const senders = (await unknownSenders(sql, account, roomId, events)).filter((sender) => !isCutKey(sender));
  const members: CutEvent[] = [];
  for (const sender of senders.slice(0, MOST_MEMBERS)) {
    // oxlint-disable-next-line no-await-in-loop -- one question at a time
    const text = known.get(sender) ?? (await questions.ask("client", signal, () => client.member(token, roomId, sender, signal)));
    const event = text === null ? null : cutEvent(text, now);
    if (event?.kind === "event" && event.type === "m.room.member" && event.state_key === sender) members.push(event);
  }
  return { roomId, events, end, position: synced.position, members };
}
