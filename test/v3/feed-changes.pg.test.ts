/** What a feed sends of events that are not any more what they were, and how long they are stored. */

import { beforeAll, describe, expect, it, vi } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { Hub } from "../../src/feed/hub.ts";
import { writeTx } from "../../src/store/db.ts";
import { deleteBefore } from "../../src/store/history-checks.ts";
import { resetAccount } from "../../src/upstream/ingest/reset-account.ts";
import { RetentionJob } from "../../src/upstream/retention-job.ts";
import type { AccountNo, DeviceNo, EventId, RoomId } from "../../src/wire/ids.ts";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { FeedReader, FeedRoom, saidBy } from "../support/feed.ts";
import { DAY_MS, sentAgo } from "../support/message-times.ts";
import { HOUR } from "../support/retention-fixture.ts";
import { ids } from "../support/rooms.ts";
import { v3Server } from "../support/v3.ts";

const [BOB, EVE] = ["@bob:test", "@eve:test"] as const;
const t = v3Server({ supervision: { feedGapsMs: 20, unignoredMs: 20 } });
let scenes = 0;
let clock = 0;
beforeAll(() => {
  clock = Date.now();
});

async function scene() {
  scenes += 1;
  const me = `@me${scenes}:test`;
  const room = new FeedRoom(t.hs, `!room${scenes}:test`, [...newRoom(BOB), ev.member(me), ev.message(BOB, "before")]);
  const client = t.login(me, "BOT", v2({ join: { [room.id]: { timeline: room.all, prev_batch: "h0" } } }));
  // No session, which would hold what is stored.
  await client.fetch("GET", "/_matrix/client/unstable/syncv3/account");
  await t.hs.waitForPoll(client.token);
  const deliver = (...sections: Json[]) => t.deliver(client, ...sections.map((section) => v2({ join: { [room.id]: section } })));
  const stored = () => t.sql<{ event_id: string }[]>`
    select event_id from feed_events join accounts using (account) where user_id = ${me} order by place`;
  return { me, room, client, deliver, stored };
}

/** An hour passes, with a run of retention at its beginning and its end. */
async function anHour(feedBytes?: number) {
  const job = new RetentionJob({ sql: t.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * HOUR, now: () => clock, feedBytes });
  await job.runOnce();
  clock += HOUR;
  return (await job.runOnce()).counts;
}

const messages = (count: number, sender: string = BOB) => Array.from({ length: count }, (_, n) => ev.message(sender, `m${n}`));
const ignoring = (...users: string[]) =>
  v2({
    account_data: [{ type: "m.ignored_user_list", content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) } }],
  });

describe("M89: ignored users", () => {
  it("M89: their messages are left out, and un-ignoring them neither ends a feed nor brings anything back", async () => {
    const { room, client, deliver } = await scene();
    await t.deliver(client, ignoring(EVE));
    const feed = await FeedReader.start(client);
    const beside = await client.sync({ feed: {}, room_list: {} });
    const [one, eves, two, three] = [messages(1), messages(2, EVE), messages(1), messages(1)];
    await deliver(room.next([...one, ...eves, ...two]));
    await feed.until(2);
    const waiting = feed.read({}, { timeout: 120_000 });
    await t.deliver(client, ignoring());
    const ended = async () => (await client.request({}, { since: beside.next })).status;
    await expect.poll(ended, { timeout: 30_000 }).toBe(400);
    await deliver(room.next(three));
    await waiting;
    expect(saidBy(feed.entries)).toEqual(ids([...one, ...two, ...three]));
    const more = messages(1, EVE);
    await deliver(room.next(more));
    expect(saidBy(await feed.read({}, { timeout: 5000 }))).toEqual(ids(more));
  });
});

describe("M90: events that changed", () => {
  it("M90: a redacted one is sent redacted, also if the redaction was in a gap", async () => {
    const { room, client, deliver } = await scene();
    const feed = await FeedReader.start(client, { limit: 1000 });
    const known = messages(2);
    await deliver(room.next(known));
    const [byGap, byPoll] = known;
    const redaction = ev.redaction(BOB, byGap?.event_id ?? "");
    await deliver(room.next([redaction, ...messages(5)], 2), room.next([ev.redaction(BOB, byPoll?.event_id ?? "")]));
    const before = feed.since;
    await feed.until(9);
    const again = await client.sync({}, { since: before });
    const entries = again["feed"].entries as typeof feed.entries;
    expect(entries.slice(0, 2).map(({ event }) => [event?.event_id, event?.content])).toEqual(known.map((event) => [event.event_id, {}]));
    expect(entries[0]?.event?.["unsigned"]).toMatchObject({ redacted_because: { event_id: redaction.event_id, room_id: room.id } });
  });

  it("M90: one that was fetched is redacted by what comes later, and forgotten with its room", async () => {
    const { room, client, deliver, stored } = await scene();
    const feed = await FeedReader.start(client);
    const { since } = feed;
    const missed = messages(6);
    await deliver(room.next(missed, 2));
    await feed.until(6);
    await deliver(room.next([ev.redaction(BOB, missed[0]?.event_id ?? "")]));
    const [first] = (await client.sync({}, { since }))["feed"].entries;
    expect(first.event).toMatchObject({ event_id: missed[0]?.event_id, content: {} });
    t.hs.on("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/forget`, { body: {} });
    await client.fetch("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/forget`, "{}");
    await expect.poll(stored).toEqual([]);
    expect((await client.sync({}, { since }))["feed"]).toBeUndefined();
  });
});

describe("M90: what must be deleted", () => {
  it("M90 T4: what was purged is not sent any more; what came after it is, at its place", async () => {
    const { me, room, client, deliver } = await scene();
    const feed = await FeedReader.start(client);
    const { since } = feed;
    const [first, missed, rest] = [messages(2), messages(6), messages(2)];
    await deliver(room.next(first), room.next(missed, 2), room.next(rest));
    const before = await feed.until(10);
    const { account } = (await t.sql<{ account: AccountNo }[]>`select account from accounts where user_id = ${me}`)[0] ?? {};
    await writeTx(t.sql, (tx) => deleteBefore(tx, account as AccountNo, room.id as RoomId, rest[0]?.event_id as EventId));
    const left = (await client.sync({}, { since }))["feed"].entries as typeof feed.entries;
    expect(left.map(({ place, event }) => [place, event?.event_id])).toEqual(before.slice(8).map(({ place, event }) => [place, event?.event_id]));
  });

  it("M90 D26: an account that is synced from scratch has nothing of before, and its sessions begin again", async () => {
    const { me, room, client, deliver, stored } = await scene();
    const feed = await FeedReader.start(client);
    room.refusal = { status: 502, body: {} };
    await deliver(room.next(messages(2)), room.next(messages(4), 1));
    expect(await stored()).toHaveLength(3);
    const [{ account, device } = {}] = await t.sql<{ account: AccountNo; device: DeviceNo }[]>`
      select account, device from accounts join devices using (account) where user_id = ${me}`;
    await resetAccount(t.sql, account as AccountNo, device as DeviceNo);
    expect(await stored()).toEqual([]);
    expect(await t.sql`select from feed_gaps join accounts using (account) where user_id = ${me}`).toEqual([]);
    expect((await client.request({}, { since: feed.since })).body["errcode"]).toBe("M_UNKNOWN_SYNC_SESSION");
  });
});

describe("M90: messages that expire", () => {
  const strict = v3Server({ assumedRetention: { fallbackMs: DAY_MS }, supervision: { feedGapsMs: 20 } });

  it("M90 T4: are not sent any more, state events are, and what follows is not held up", async () => {
    const [me, room] = ["@expiring:test", new FeedRoom(strict.hs, "!expiring:test", [...newRoom(BOB), ev.member("@expiring:test")])];
    const client = strict.login(me, "BOT", v2({ join: { [room.id]: { timeline: room.all, prev_batch: "h0" } } }));
    const feed = await FeedReader.start(client, { limit: 2 });
    await vi.waitFor(async () => expect(await strict.sql`select from homeserver_facts`).toHaveLength(1), { timeout: 20_000 });
    const old = Array.from({ length: 5 }, () => sentAgo(2 * DAY_MS));
    const topic = ev.topic(BOB, "old", { origin_server_ts: Date.now() - 2 * DAY_MS });
    const young = [sentAgo(1000), sentAgo(1000)];
    await strict.deliver(client, v2({ join: { [room.id]: room.next([...old, topic, ...young]) } }));
    await feed.until(3);
    expect(saidBy(feed.entries)).toEqual(ids([topic, ...young]));
  });
});

describe("M91: what is stored for a feed", () => {
  it("M91: an account without one has nothing recorded; the last one's end deletes what was", async () => {
    const { room, client, deliver, stored } = await scene();
    const quiet = await client.sync({ room_list: {} });
    await deliver(room.next(messages(3)));
    expect(await stored()).toEqual([]);
    const feed = await FeedReader.start(client);
    const events = messages(3);
    await deliver(room.next(events));
    expect(ids(await stored())).toEqual(ids(events));
    await client.sync({ feed: null }, { since: feed.since });
    await anHour();
    await deliver(room.next(messages(3)));
    expect(await stored()).toEqual([]);
    expect((await client.request({}, { since: quiet.next })).status).toBe(200);
  });

  it("M91: stays until every feed has acknowledged it, whatever else the session has read, and then for an hour", async () => {
    const { room, client, deliver, stored } = await scene();
    const [slow, fast] = [await FeedReader.start(client, { limit: 1 }), await FeedReader.start(client)];
    const events = messages(150);
    for (let n = 0; n < 150; n += 50) await deliver(room.next(events.slice(n, n + 50)));
    await fast.until(150);
    await fast.read();
    for (let n = 0; n < 3; n += 1) await slow.read({ room_list: {} });
    await anHour();
    await anHour();
    // The third answer is not acknowledged.
    expect(ids(await stored())).toEqual(ids(events.slice(2)));
    expect(saidBy(await slow.read({ feed: { limit: 1000 } }))).toEqual(ids(events.slice(3)));
    await slow.read();
    await anHour();
    await anHour();
    expect(await stored()).toEqual([]);
  });

  it("M91: beyond its size the oldest become gaps, one in each room", async () => {
    const { me, room, client, deliver } = await scene();
    const feed = await FeedReader.start(client, { limit: 1000 });
    const other = new FeedRoom(t.hs, `!other${scenes}:test`, []);
    const large = (count: number) => Array.from({ length: count }, () => ev.message(BOB, "x".repeat(10_000)));
    const [first, ofOther, rest] = [large(20), [ev.member(me), ...large(20)], large(20)];
    await deliver(room.next(first));
    await t.deliver(client, v2({ join: { [other.id]: other.next([...newRoom(BOB), ...ofOther]) } }));
    await deliver(room.next(rest));
    const bytes = 25 * 10_200;
    await anHour(bytes);
    await anHour(bytes);
    const entries = await feed.read();
    const left = entries.filter(({ event }) => event).length;
    expect(left).toBeGreaterThan(18);
    expect(left).toBeLessThanOrEqual(24 + 2);
    const [start, gap] = [first[0]?.event_id, `${room.id}: ${first[0]?.event_id}..${rest[0]?.event_id}`];
    expect(saidBy(entries).slice(0, 2)).toEqual([start, gap]);
    const [begin, hole, ...after] = entries.filter(({ event, gap: of }) => (event?.room_id ?? of?.room_id) === other.id);
    expect([begin?.event?.event_id, hole?.gap]).toMatchObject([
      ofOther[0]?.event_id,
      { after: ofOther[0]?.event_id, before: after[0]?.event?.event_id },
    ]);
    expect(saidBy(after)).toEqual(ids(ofOther.slice(-after.length)));
    expect(saidBy(entries).slice(-20)).toEqual(ids(rest));
  });
});
