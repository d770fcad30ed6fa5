/** Whatever v2 leaves out, and whenever servers and the homeserver's /messages are away: a feed has each event once, or within a gap that it names. */

import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, type FakeReply, newRoom, v2 } from "../support/fake-homeserver.ts";
import { type FeedEntry, FeedReader, FeedRoom } from "../support/feed.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const BOB = "@bob:test";
const RUNS = Number(process.env["FC_RUNS"] ?? 15);
let t: V3Fixture;
let count = 0;

beforeAll(async () => {
  t = await startV3({ supervision: { feedGapsMs: 20, gapMs: 400 } });
});
afterAll(() => t.stop());

const room = fc.nat(2);
const happening = fc.record({ room, events: fc.integer({ min: 1, max: 12 }), shown: fc.integer({ min: 1, max: 14 }) });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("v2" as const), rooms: fc.uniqueArray(happening, { minLength: 1, selector: (one) => one.room }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("messages" as const), room, answer: fc.constantFrom("works", "away", "refused", "stuck") }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("read" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("again" as const) }) },
);
const REPLIES: Readonly<Record<"works" | "away" | "refused" | "stuck", FakeReply | null>> = {
  works: null,
  away: { status: 502, body: {} },
  refused: { status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } },
  stuck: { body: { chunk: [], end: "h1" } },
};

/** What of a room's history since the feed began is neither sent nor within a gap, or is sent twice, or in another order: nothing. */
function checkRoom(one: FeedRoom, begin: number, entries: readonly FeedEntry[]): void {
  const expected = one.all.slice(begin - 1).map((event) => event.event_id);
  let at = 0;
  let gap: FeedEntry["gap"] | undefined;
  for (const entry of entries) {
    if (entry.gap) {
      expect(gap).toBeUndefined();
      expect(entry.gap.after).toBe(expected[at]);
      ({ gap } = entry);
      continue;
    }
    const place = expected.indexOf(entry.event?.event_id ?? "");
    if (gap) expect([gap.before, place > at + 1]).toEqual([expected[place], true]);
    else expect(place).toBe(at + 1);
    at = place;
    gap = undefined;
  }
  expect(at).toBe(expected.length - 1);
}

it("S6 M85 M86 M87 M88: each event of each room is sent once, in the room's order, or within a gap that is named", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 14 }), fc.integer({ min: 1, max: 20 }), async (steps, limit) => {
      count += 1;
      const me = `@me${count}:test`;
      const rooms = [0, 1, 2].map((n) => new FeedRoom(t.hs, `!r${n}x${count}:test`, [...newRoom(BOB), ev.member(me), ev.message(BOB)]));
      const client = t.login(me, "BOT", v2({ join: Object.fromEntries(rooms.map((one) => [one.id, { timeline: one.all, prev_batch: "h0" }])) }));
      const begin = rooms.map((one) => one.all.length);
      const feed = await FeedReader.start(client, { limit });
      const read = async () => {
        const { since } = feed;
        const entries = await feed.read();
        expect(entries.length).toBeLessThanOrEqual(limit);
        return { since, entries };
      };
      let last = await read();
      const deliver = async (join: Parameters<typeof v2>[0]) => t.deliver(client, v2(join));
      for (const one of steps) {
        if (one.kind === "messages") (rooms[one.room] as FeedRoom).refusal = REPLIES[one.answer];
        else if (one.kind === "restart") await t.restart();
        else if (one.kind === "read") last = await read();
        else if (one.kind === "again") {
          const again: FeedEntry[] = (await client.sync({}, { since: last.since }))["feed"]?.entries ?? [];
          expect(again.slice(0, last.entries.length).map(({ place, event }) => [place, event?.event_id])).toEqual(
            last.entries.map(({ place, event }) => [place, event?.event_id]),
          );
        } else {
          const happenings = one.rooms.map(({ room: n, events, shown }) => {
            const of = rooms[n] as FeedRoom;
            return [
              of.id,
              of.next(
                Array.from({ length: events }, () => ev.message(BOB)),
                Math.min(shown, of.all.length),
              ),
            ] as const;
          });
          await deliver({ join: Object.fromEntries(happenings) });
        }
      }
      const end = rooms.map((of) => [of.id, of.next([ev.message(BOB, "the end")])] as const);
      await deliver({ join: Object.fromEntries(end) });
      const told = () => new Set(feed.entries.map(({ event }) => event?.event_id));
      while (!rooms.every((of) => told().has(of.all.at(-1)?.event_id))) await feed.read({}, { timeout: 2000 });
      for (const [n, of] of rooms.entries()) {
        checkRoom(
          of,
          begin[n] ?? 0,
          feed.entries.filter(({ event, gap }) => (event?.room_id ?? gap?.room_id) === of.id),
        );
      }
      const places = feed.entries.map(({ place }) => place);
      expect(places).toEqual([...new Set(places)].toSorted((a, b) => a - b));
    }),
    { numRuns: RUNS },
  );
}, 240_000);
