/** The sticky_events extension (MSC4480), from the sticky events of v2 (MSC4354). */

import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient, STICKY_EVENTS, timelineIds } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";

type Section = { readonly next_batch: string; readonly rooms: Readonly<Record<string, { readonly events: readonly MatrixEvent[] }>> };
const sectionOf = (answer: Answer): Section | undefined => answer.extensions[STICKY_EVENTS] as Section | undefined;
const idsIn = (answer: Answer, room: string) => sectionOf(answer)?.rooms[room]?.events.map((event) => event.event_id) ?? [];
const asking = (since?: string, more: Json = {}): Json => ({ [STICKY_EVENTS]: { enabled: true, ...(since !== undefined && { since }), ...more } });
/** All rooms without timelines, so that no event is in one. */
const NO_TIMELINES: Ask = { lists: { all: { ranges: [[0, 99]], limit: 0 } } };

describe.each(DIALECTS)("sticky events (%s)", (dialect) => {
  /** A user in a room, with sticky events beside its timeline. */
  async function withSticky(count = 0, others: readonly string[] = [BOB]) {
    const one = scene(t, { others });
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const events = Array.from({ length: count }, () => ev.sticky(BOB));
    if (count > 0) await one.deliver({ sticky: events });
    const give = (parts: RoomParts) => one.deliver(parts);
    return { ...one, phone, give, ids: events.map((event) => event.event_id) };
  }

  it("M70: the first request has all that are sticky, oldest first, with the time that is left", async () => {
    const { phone, room, ids } = await withSticky(3);
    const section = sectionOf(await phone.sync({ ...ALL, ext: asking() }));
    const events = section?.rooms[room]?.events ?? [];
    expect(events.map((event) => event.event_id)).toEqual(ids);
    for (const event of events) {
      const left = (event as { unsigned?: Json }).unsigned?.["msc4354_sticky_duration_ttl_ms"] as number;
      expect(left > 0 && left <= 600_000).toBe(true);
      expect(event).toMatchObject({ msc4354_sticky: { duration_ms: 600_000 } });
      expect(event).not.toHaveProperty("room_id");
    }
  });

  it("M70: without any there is no section, and events whose time is over are none", async () => {
    const { phone, give } = await withSticky();
    await give({ sticky: [ev.sticky(BOB, 0, { msc4354_sticky: { duration_ms: 0 } })], timeline: [ev.sticky(BOB, -5), ev.message(BOB)] });
    expect(sectionOf(await phone.sync({ ...ALL, ext: asking() }))).toBeUndefined();
  });

  it("M70: an event whose time the homeserver does not say is sticky for as long as it declares, from when it was sent", async () => {
    const { phone, room, give } = await withSticky();
    const now = Date.now();
    const of = (ts: number, duration: unknown) =>
      ev.sticky(BOB, 0, { unsigned: {}, origin_server_ts: ts, msc4354_sticky: { duration_ms: duration } });
    const [fresh, future] = [of(now - 10_000, 60_000), of(now + 1e9, 1e9)];
    await give({ sticky: [of(now - 70_000, 60_000), fresh, of(now, "long"), future] });
    const events = sectionOf(await phone.sync({ ...ALL, ext: asking() }))?.rooms[room]?.events ?? [];
    expect(events.map((event) => event.event_id)).toEqual([fresh.event_id, future.event_id]);
    const left = events.map((event) => (event["unsigned"] as Json)["msc4354_sticky_duration_ttl_ms"] as number);
    expect(left.map((ms) => Math.ceil(ms / 600_000))).toEqual([1, 6]);
  });

  it("M71: since acknowledges; without it, or with the same one, the same comes again", async () => {
    const { phone, room, ids, give } = await withSticky(2);
    const first = await phone.sync({ ...ALL, ext: asking() });
    const again = await phone.sync({ ...ALL, ext: asking() }, { pos: first.pos });
    expect(idsIn(again, room)).toEqual(ids);
    const since = sectionOf(again)?.next_batch;
    const none = await phone.sync({ ...ALL, ext: asking(since) }, { pos: again.pos });
    expect(sectionOf(none)).toBeUndefined();
    const third = ev.sticky(BOB);
    await give({ sticky: [third] });
    for (const pos of [none.pos, none.pos, undefined]) {
      // oxlint-disable-next-line no-await-in-loop -- retries, then a new connection
      expect(idsIn(await phone.sync({ ...ALL, ext: asking(since) }, { pos }), room)).toEqual([third.event_id]);
    }
  });

  it("M71: a since of another device, of another server, or from after our database was restored", async () => {
    const { phone, room, ids } = await withSticky(1);
    const since = sectionOf(await phone.sync({ ...ALL, ext: asking() }))?.next_batch ?? "";
    const other = since.replace(/_(\d+)_/, (_, n: string) => `_${Number(n) + 1}_`);
    const later = since.replace(/\d+$/, "999999999");
    for (const text of [other, later]) {
      // oxlint-disable-next-line no-await-in-loop -- one connection
      expect(idsIn(await phone.sync({ ...ALL, ext: asking(text) }), room)).toEqual(ids);
    }
    const foreign = await phone.request({ ...ALL, ext: asking("sticky_5") });
    if (dialect === "unstable") expect(idsIn(phone.read(foreign), room)).toEqual(ids);
    else expect(foreign).toMatchObject({ status: 400, body: { errcode: "M_INVALID_PARAM" } });
  });

  it("M71: more than the limit come one after the other, without a wait and without a gap", async () => {
    const { phone, room, ids } = await withSticky(5);
    const got: string[] = [];
    let [pos, since]: (string | undefined)[] = [];
    while (got.length < 5) {
      // oxlint-disable-next-line no-await-in-loop -- each continues the one before
      const answer = await phone.sync({ ...ALL, ext: asking(since, { limit: 2 }) }, { pos, timeout: LONG });
      expect(idsIn(answer, room).length).toBeLessThanOrEqual(2);
      got.push(...idsIn(answer, room));
      ({ pos } = answer);
      since = sectionOf(answer)?.next_batch;
    }
    expect(got).toEqual(ids);
    const zero = await phone.request({ ...ALL, ext: asking(undefined, { limit: 0 }) });
    if (dialect === "unstable") expect(idsIn(phone.read(zero), room)).toEqual(ids.slice(0, 1));
    else expect(zero).toMatchObject({ status: 400, body: { errcode: "M_INVALID_PARAM" } });
  });

  it("M71: first enabled in mid-connection, all that are sticky come", async () => {
    const { phone, room, ids } = await withSticky(2);
    const first = await phone.sync(ALL);
    const then = await phone.sync({ ...ALL, ext: asking() }, { pos: first.pos });
    expect(idsIn(then, room)).toEqual(ids);
  });

  it("M71: a new one ends a wait", async () => {
    const { phone, room, give } = await withSticky(1);
    const first = await phone.sync({ ...ALL, ext: asking() });
    const since = sectionOf(first)?.next_batch;
    const { answer } = await hangSliding(t, phone, { ...ALL, ext: asking(since) }, { pos: first.pos, timeout: LONG });
    const event = ev.sticky(BOB);
    await give({ sticky: [event] });
    expect(idsIn(await answer, room)).toEqual([event.event_id]);
  });

  it("M72: one of a timeline that the answer has is not repeated, and has the time that is left there; otherwise it comes", async () => {
    const { phone, room, give } = await withSticky();
    const events = [ev.sticky(BOB), ev.message(BOB), ev.sticky(BOB, 500_000)];
    await give({ timeline: events });
    const whole = await phone.sync({ ...ALL, ext: asking() });
    expect(timelineIds(whole.rooms[room]).slice(-3)).toEqual(events.map((event) => event.event_id));
    expect(sectionOf(whole)).toEqual({ next_batch: expect.any(String) as unknown, rooms: {} });
    const shown = ((whole.rooms[room]?.["timeline"] ?? []) as { unsigned?: Json }[]).at(-1);
    const left = shown?.unsigned?.["msc4354_sticky_duration_ttl_ms"] as number;
    expect(left > 0 && left <= 500_000).toBe(true);
    const one: Ask = { lists: { all: { ranges: [[0, 99]], limit: 1 } }, ext: asking() };
    expect(idsIn(await phone.sync(one), room)).toEqual([events[0]?.event_id]);
    const none = await phone.sync({ ...NO_TIMELINES, ext: asking() });
    expect(idsIn(none, room)).toEqual([events[0]?.event_id, events[2]?.event_id]);
  });

  it("M72: rooms that a list matches, in its window or not, and subscribed ones; others are passed over until somebody asks", async () => {
    const { phone, room, me, client } = await withSticky();
    const [favourite, plain] = [`${room}favourite`, `${room}plain`];
    const [a, b] = [ev.sticky(BOB), ev.sticky(BOB)];
    await t.deliver(
      client,
      v2({
        join: {
          [favourite]: { state: newRoom(me), sticky: [a], account_data: [{ type: "m.tag", content: { tags: { "m.favourite": {} } } }] },
          [plain]: { state: newRoom(me), sticky: [b] },
        },
      }),
    );
    const list = { ranges: [[90, 99]] as const, limit: 0 };
    const some: Ask = { lists: { some: { ...list, filters: { tags: ["m.favourite"] } } } };
    const first = await phone.sync({ ...some, ext: asking() });
    expect(Object.keys(sectionOf(first)?.rooms ?? {})).toEqual([favourite]);
    const since = sectionOf(first)?.next_batch;
    const second = await phone.sync({ ...some, ext: asking(since) }, { pos: first.pos });
    expect(sectionOf(second)).toBeUndefined();
    // Neither is in its window.
    const more: Ask = { lists: { ...some.lists, all: list } };
    for (const pos of [second.pos, second.pos]) {
      // oxlint-disable-next-line no-await-in-loop -- a retry
      const third = await phone.sync({ ...more, ext: asking(since) }, { pos });
      expect(idsIn(third, plain), "also after the answer was lost").toEqual([b.event_id]);
      expect(idsIn(third, favourite)).toEqual([]);
      // oxlint-disable-next-line no-await-in-loop -- the next one
      const fourth = await phone.sync({ ...more, ext: asking(sectionOf(third)?.next_batch) }, { pos: third.pos });
      expect(sectionOf(fourth)).toBeUndefined();
    }
  });

  it("M72: a subscription is enough, without a list", async () => {
    const { phone, room, ids } = await withSticky(1);
    expect(sectionOf(await phone.sync({ ext: asking() }))).toBeUndefined();
    expect(idsIn(await phone.sync({ subs: { [room]: { limit: 0 } }, ext: asking() }), room)).toEqual(ids);
  });

  it("M72: a room that comes into the window later is sent with all of its sticky events", async () => {
    const { phone, room, ids } = await withSticky(2);
    const outside: Ask = { lists: { all: { ranges: [[5, 9]], limit: 0 } } };
    const first = await phone.sync({ ...outside, ext: asking() });
    const since = sectionOf(first)?.next_batch;
    const second = await phone.sync({ ...outside, ext: asking(since) }, { pos: first.pos });
    const third = await phone.sync({ ...NO_TIMELINES, ext: asking(since) }, { pos: second.pos });
    expect(third.rooms[room]).toMatchObject({ initial: true });
    expect(idsIn(third, room)).toEqual(ids);
    const fourth = await phone.sync({ ...NO_TIMELINES, ext: asking(sectionOf(third)?.next_batch ?? since) }, { pos: third.pos });
    expect(sectionOf(fourth)).toBeUndefined();
  });

  it("M72: events of ignored users are left out (D25)", async () => {
    const { phone, room, ids, client } = await withSticky(1);
    const mallory = ev.sticky("@mallory:test");
    await t.deliver(
      client,
      v2({
        join: { [room]: { sticky: [mallory] } },
        account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { "@mallory:test": {} } } }],
      }),
    );
    expect(idsIn(await phone.sync({ ...ALL, ext: asking() }), room)).toEqual(ids);
  });

  it("M72: a room that was left sends none; joined again, all that are sticky, also those sent before", async () => {
    const { phone, room, me, client, ids } = await withSticky(2);
    const first = await phone.sync({ ...ALL, ext: asking() });
    const since = sectionOf(first)?.next_batch;
    await t.deliver(client, v2({ leave: { [room]: { timeline: [ev.member(me, "leave"), ev.sticky(BOB)] } } }));
    expect(sectionOf(await phone.sync({ ...ALL, ext: asking() }))).toBeUndefined();
    const events = await t.sql`select from sticky_events join accounts using (account) where user_id = ${me}`;
    expect(events).toHaveLength(0);
    const again = ids.map((event_id) => ev.sticky(BOB, 60_000, { event_id }));
    await t.deliver(client, v2({ join: { [room]: { state: newRoom(me), timeline: [ev.member(me)], sticky: again } } }));
    expect(idsIn(await phone.sync({ ...ALL, ext: asking(since) }), room)).toEqual(ids);
  });

  it("M73: a redacted event is not sticky: redacted beside it, later, or before it is sent", async () => {
    const { phone, room, give, ids } = await withSticky(2);
    const [sameBatch, inTimeline] = [ev.sticky(BOB), ev.sticky(BOB)];
    await give({ sticky: [sameBatch], timeline: [inTimeline, ev.redaction(BOB, sameBatch.event_id)] });
    await give({ timeline: [ev.redaction(BOB, ids[0] ?? ""), ev.redaction(BOB, inTimeline.event_id)] });
    const answer = await phone.sync({ ...ALL, ext: asking() });
    expect(idsIn(answer, room)).toEqual(ids.slice(1));
    const timeline = answer.rooms[room]?.["timeline"] as MatrixEvent[];
    expect(JSON.stringify(timeline)).not.toContain("sticky");
    const rows = await t.sql<{ body: string }[]>`select body from events where event_id = ${ids[0] ?? ""}`;
    expect(rows.every(({ body }) => !body.includes("sticky"))).toBe(true);
  });

  it("M70: parts of a wrong type are left out, and what is around them comes", async () => {
    const { phone, room, give } = await withSticky();
    const good = ev.sticky(BOB);
    const bad = [null, 1, "x", [], {}, { ...ev.sticky(BOB), event_id: 5 }, ev.sticky(BOB, 1, { msc4354_sticky: null, unsigned: null })];
    await give({ sticky: [...bad, good, good] as Json[] });
    await t.deliver(phone.client, { rooms: { join: { [room]: { msc4354_sticky: [1] } } } });
    expect(idsIn(await phone.sync({ ...ALL, ext: asking() }), room)).toEqual([good.event_id]);
  });
});

it("M70: /v4/sync has the section under the name that it was asked with", async () => {
  const { client, deliver } = scene(t);
  const phone = new SlidingClient(client, "v4");
  await phone.sync();
  await deliver({ sticky: [ev.sticky(BOB)] });
  const answer = await phone.sync({ ...ALL, ext: { sticky_events: { enabled: true } } });
  expect(Object.keys(answer.extensions)).toEqual(["sticky_events"]);
});
