/** How long the homeserver shows messages (T4), as it was last asked: one row for all accounts. */

import type { MessageRetention } from "../wire/message-retention.ts";
import type { Db } from "./db.ts";

const NAME = "message_retention";

/** A column for queries that read how far an account is: see parseRetention. */
export function retentionColumn(db: Db) {
  return db`(select value from homeserver_facts where name = ${NAME}) as retention`;
}

let last: { readonly text: string | null; readonly retention: MessageRetention | null } = { text: null, retention: null };

/** Reads the column; null: messages do not expire. Equal texts give the same object. */
export function parseRetention(text: string | null): MessageRetention | null {
  if (text !== last.text) last = { text, retention: text === null ? null : (JSON.parse(text) as MessageRetention | null) };
  return last.retention;
}

export async function readRetention(db: Db): Promise<MessageRetention | null> {
  const [row] = await db<{ retention: string | null }[]>`select ${retentionColumn(db)}`;
  return parseRetention(row?.retention ?? null);
}

/** Whether the homeserver has stopped giving messages at the end of their lives, although it does not say that it does so (T4). */
const SEEN = "message_retention_seen";

export async function hasSeenRetention(db: Db): Promise<boolean> {
  return (await db`select from homeserver_facts where name = ${SEEN}`).length > 0;
}

/** From now on messages expire as their rooms say, if nothing else is known; or not any more. */
export async function noteSeenRetention(db: Db, isSeen: boolean): Promise<void> {
  if (!isSeen) {
    await db`
      with gone as (delete from homeserver_facts where name = ${SEEN} returning 1)
      update homeserver_facts set value = 'null' where name = ${NAME} and value = '{}' and exists (select from gone)`;
    return;
  }
  await db`insert into homeserver_facts (name, value) values (${SEEN}, 'true') on conflict do nothing`;
  await db`update homeserver_facts set value = '{}' where name = ${NAME} and value = 'null'`;
}

/** True if it has changed. */
export async function writeRetention(db: Db, retention: MessageRetention | null): Promise<boolean> {
  const written = await db`
    insert into homeserver_facts (name, value) values (${NAME}, ${JSON.stringify(retention)})
    on conflict (name) do update set value = excluded.value where homeserver_facts.value <> excluded.value`;
  return written.count > 0;
}
