/** S6 Feed: every event of the account's rooms in the order in which they came, and gaps for those that could not be had. */

import { factsAt } from "../../store/facts.ts";
import { type FeedRow, readFeed } from "../../store/feed-events.ts";
import { withTransactions } from "../../store/sent-events.ts";
import { sentSince } from "../../sync/message-expiry.ts";
import { prevBatchOf } from "../../sync/prev-batch.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { isCutKey } from "../../wire/index-key.ts";
import type { FeedEntry } from "./answers.ts";
import type { Context, Stream } from "./stream.ts";
import { clampLimit, NO_NEWS } from "./stream.ts";

/** `rooms` null: all of them. */
type FeedParams = { readonly limit: number; readonly rooms: readonly RoomId[] | null };

export const feed: Stream<"feed", FeedParams> = {
  key: "feed",
  kinds: new Set(["timeline", "feed"]),
  resolve: ({ limit, rooms }) => ({ limit: clampLimit(limit, 100, 1000), rooms: rooms ?? null }),
  // Other rooms count from where the feed is: it does not start again, which would lose what was not sent yet.
  selection: () => null,
  async evaluate(context, params, memory) {
    // It starts at the session's first request: what is there already is not news.
    if (!memory) return { answer: { limit: params.limit, entries: [] }, news: true, memory: {} };
    const { entries, cursor } = await nextEntries(context, params);
    const cursors = { feed: cursor };
    if (entries.length === 0) return { ...NO_NEWS, memory, cursors };
    return { answer: { limit: params.limit, entries }, news: true, memory, cursors };
  },
};

async function nextEntries(context: Context, { limit, rooms }: FeedParams): Promise<{ readonly entries: FeedEntry[]; readonly cursor: Position }> {
  const { tx, account, ignored, to } = context;
  let after = context.from.feed;
  while (after < to) {
    // oxlint-disable no-await-in-loop -- usually once: again only if all that was read has expired
    const rows = await readFeed(tx, account, { after, to, limit, rooms, ignored });
    const shown = await unexpired(context, rows);
    // oxlint-enable no-await-in-loop
    const last = rows.at(-1);
    after = last && rows.length >= limit ? (last.place as Position) : to;
    if (shown.length > 0) return { entries: await entriesOf(context, shown), cursor: after };
  }
  return { entries: [], cursor: after };
}

/** Without messages whose lifetime is over (T4). */
async function unexpired(context: Context, rows: readonly FeedRow[]): Promise<readonly FeedRow[]> {
  const { tx, account, retention, to } = context;
  if (!retention) return rows;
  const roomIds = [...new Set(rows.flatMap((row) => (row.kind === "event" ? [row.event.room_id] : [])))];
  const facts = await factsAt(tx, account, roomIds, to);
  return rows.filter((row) => {
    if (row.kind === "gap" || row.event.state_key !== null) return true;
    const since = sentSince(context, row.event.room_id, facts.get(row.event.room_id)?.facts);
    return since === null || (row.event.ts ?? 0) >= since;
  });
}

async function entriesOf(context: Context, rows: readonly FeedRow[]): Promise<FeedEntry[]> {
  const events = rows.flatMap((row) => (row.kind === "event" ? [row.event] : []));
  const timelines = await withTransactions(
    context.tx,
    context,
    new Map([...Map.groupBy(events, (event) => event.room_id)].map(([roomId, ofRoom]) => [roomId, { events: ofRoom }])),
  );
  const completed = new Map([...timelines.values()].flatMap((timeline) => timeline.events.map((event) => [event.event_id, event])));
  return rows.map((row) => {
    const { place } = row;
    if (row.kind === "event") return { place, event: completed.get(row.event.event_id) ?? row.event };
    const { roomId, gap, before } = row;
    const prevBatch = prevBatchOf(context, roomId, {
      events: before === null ? [] : [{ event_id: before }],
      prevBatch: gap.prev_batch,
      exact: gap.prev_batch !== null,
    });
    return { place, gap: { roomId, after: named(gap.after), before: named(before), prevBatch } };
  });
}

/** A key that stands for a longer id is never sent. */
function named<Id extends string>(id: Id | null): Id | null {
  return id !== null && isCutKey(id) ? null : id;
}
