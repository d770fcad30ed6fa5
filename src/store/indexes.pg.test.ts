import { expect, test } from "vitest";

import { freshDatabase } from "../../test/support/database.ts";
import { incompressibleText } from "../../test/support/lengths.ts";

/** Most bytes that a row of a B-tree index holds. */
const INDEX_ROW = 2704;
/** Bytes for a value's length and alignment, and for the row's header. */
const OVERHEAD = 8;

const ID = 255;
const KEY = 448;
/** For each indexed text column, the most bytes it holds: an id, an index key (wire/index-key.ts), or the given number. */
const BOUNDS: Readonly<Record<string, number>> = {
  "account_data.room_id": ID,
  "account_data.type": KEY,
  "accounts.user_id": ID,
  "device_lists.user_id": ID,
  "devices.device_id": KEY,
  "doubted_rooms.room_id": ID,
  "events.event_id": KEY,
  "events.relates_to": KEY,
  "background_asks.room_id": ID,
  "background_asks.user_id": ID,
  "feed_events.event_id": KEY,
  "feed_events.room_id": ID,
  "feed_gaps.room_id": ID,
  // One of our words.
  "homeserver_facts.name": 20,
  "invites.room_id": ID,
  "members.event_id": KEY,
  "members.room_id": ID,
  // 500 characters: see sortName in upstream/ingest/room-state.ts.
  "members.sort_name": 2000,
  "members.user_id": KEY,
  "older.event_id": KEY,
  "older.room_id": ID,
  "older_chunks.room_id": ID,
  "own_events.event_id": KEY,
  // `kind` is one of our words; `name`: a room id, a user id or the index key of a type.
  "poison.kind": 20,
  "poison.name": KEY,
  "presence.user_id": ID,
  "profiles.field": ID,
  "profiles.user_id": ID,
  "receipts.kind": ID,
  "receipts.room_id": ID,
  "receipts.thread_id": KEY,
  "receipts.user_id": ID,
  "rereads.kind": 20,
  "rereads.name": KEY,
  "room_facts.room_id": ID,
  "rooms.room_id": ID,
  "sent_events.event_id": KEY,
  // 255 characters: requests with longer ones are refused.
  "sessions.conn_id": 1020,
  "standings.room_id": ID,
  "state.event_id": KEY,
  "state.room_id": ID,
  "state.state_key": KEY,
  "state.type": KEY,
  "thread_subscriptions.room_id": ID,
  "thread_subscriptions.thread_root": ID,
  "sticky_events.event_id": KEY,
  "timeline.event_id": KEY,
  "timeline.room_id": ID,
  "typing.room_id": ID,
  "unignored_users.user_id": KEY,
};

test("N2: indexes hold bounded values only: each indexed text column has a bound, and no row is too large for its index", async () => {
  const database = await freshDatabase();
  try {
    const columns = await database.sql<{ name: string; index: string; type: string }[]>`
      select t.relname || '.' || a.attname as name, i.relname as index, format_type(a.atttypid, null) as type
      from pg_index x
      join pg_class i on i.oid = x.indexrelid
      join pg_class t on t.oid = x.indrelid
      join pg_attribute a on a.attrelid = t.oid and a.attnum = any(x.indkey::smallint[])
      join pg_am m on m.oid = i.relam and m.amname = 'btree'
      where t.relnamespace = 'public'::regnamespace and t.relname <> 'migrations'`;
    const texts = columns.filter((column) => column.type === "text");
    expect([...new Set(texts.map((column) => column.name))].toSorted()).toEqual(Object.keys(BOUNDS).toSorted());
    for (const [index, parts] of Map.groupBy(columns, (column) => column.index)) {
      const bytes = parts.map(({ name }) => (BOUNDS[name] ?? 32) + OVERHEAD).reduce((a, b) => a + b, 2 * OVERHEAD);
      expect(bytes, index).toBeLessThanOrEqual(INDEX_ROW);
    }
  } finally {
    await database.drop();
  }
});

test("N2: the widest member fits in every index", async () => {
  const database = await freshDatabase();
  const text = (bytes: number) => incompressibleText(bytes);
  try {
    await database.sql`
      insert into members (account, room_id, user_id, from_ord, event_id, membership, sort_name)
      values (1, ${text(ID)}, ${text(KEY)}, 1, ${text(KEY)}, 'join', ${text(2000)})`;
    expect(await database.sql`select from members where user_id = ${text(KEY)}`).toHaveLength(1);
  } finally {
    await database.drop();
  }
});
