import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, type Json, type RoomParts } from "../../test/support/events.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import { silentLogger } from "../base/logger.ts";
import { readInvites } from "../store/ephemeral.ts";
import { joinedFactsAt, membershipOver, roomsWithNewFacts } from "../store/facts.ts";
import { allMembersAt, memberChanges, memberPage } from "../store/members.ts";
import { stateAt, stateChanged } from "../store/state.ts";
import { readTimelines, roomsWithEvents, standingBefore, type Timeline } from "../store/timeline.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import { RetentionJob } from "./retention-job.ts";
import { Hub } from "../feed/hub.ts";

const HOUR = 3_600_000;
const ROOMS = ["!a:test", "!b:test", "!c:test"] as const;
let db: TestDatabase;
let users = 0;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

/** One room in one v2 response: `n` events, and what becomes of the user's membership. */
const roomStep = fc.record({
  room: fc.constantFrom(...ROOMS),
  n: fc.integer({ min: 0, max: 45 }),
  kinds: fc.array(fc.nat(9), { minLength: 1, maxLength: 8 }),
  limited: fc.boolean(),
  fate: fc.constantFrom("join", "join", "join", "join", "join", "leave", "invite"),
});
const history = fc.array(fc.uniqueArray(roomStep, { selector: (step) => step.room, minLength: 1, maxLength: 3 }), { minLength: 12, maxLength: 24 });
/** The positions of sessions, from 0 (the beginning) to 1 (now), and whether the last used token was the first one. */
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 });

type RetentionStep = typeof roomStep extends fc.Arbitrary<infer T> ? T : never;

/** Much happens in three rooms and no session holds anything back: random draws alone might only produce sessions at the beginning. */
const muchToDelete: [RetentionStep[][], number[]] = [
  Array.from({ length: 18 }, (_, index) => [{ room: ROOMS[index % 3] ?? ROOMS[0], n: 30, kinds: [4, 0, 1], limited: index % 5 === 4, fate: "join" }]),
  [],
];

function event(kind: number, index: number): Json {
  const user = `@u${(kind + index) % 5}:test`;
  if (kind === 0) return ev.topic(user, `topic ${index}`);
  if (kind === 1) return ev.member(user, "join", { displayname: `name ${index}` });
  if (kind === 2) return ev.member(user, "leave");
  if (kind === 3) return ev.state("org.test", `key ${index % 3}`, user, { index });
  return ev.message(user, `text ${index}`);
}

/** Replays a history; returns the account's position after each response. */
async function play(account: TestAccount, steps: readonly (readonly RetentionStep[])[]): Promise<number[]> {
  const joined = new Set<string>();
  const positions: number[] = [];
  for (const step of steps) {
    const sections: Record<"join" | "leave", Record<string, RoomParts>> = { join: {}, leave: {} };
    const invite: Record<string, Json[]> = {};
    for (const { room, n, kinds, limited, fate } of step) {
      const timeline = Array.from({ length: n }, (_, index) => event(kinds[index % kinds.length] ?? 4, index));
      const token = `t${positions.length}`;
      if (fate === "invite" && !joined.has(room)) {
        invite[room] = [ev.member(account.me, "invite", {}, { sender: "@u0:test" })];
      } else if (fate === "leave") {
        sections.leave[room] = { timeline: [...(joined.has(room) ? timeline : []), ev.member(account.me, "leave")], prev_batch: token };
        joined.delete(room);
      } else {
        const state = joined.has(room) ? [] : [ev.create("@u0:test"), ev.member(account.me)];
        sections.join[room] = { state, timeline, limited: limited && n % 3 === 0, prev_batch: token };
        joined.add(room);
      }
    }
    positions.push(await account.step({ ...sections, invite }));
  }
  return positions;
}

/** The part of a timeline that reaches a client. */
function shown(timeline: Timeline | undefined): unknown {
  return timeline && [timeline.events.map(({ ord, event_id, body, notify }) => [ord, event_id, body, notify]), timeline.limited, timeline.prevBatch];
}

function unordered(rows: Iterable<unknown>): string[] {
  return [...rows].map((row) => JSON.stringify(row)).sort();
}

/** Everything that a token at `at` may be sent when the account is at `now`. */
async function answers(account: TestAccount, at: number, now: number): Promise<unknown> {
  const { sql } = db;
  const no = account.account;
  const from = at as Position;
  const to = now as Position;
  const facts = (await joinedFactsAt(sql, no, from)).sort((a, b) => (a.room_id < b.room_id ? -1 : 1));
  const rooms = facts.map((row) => row.room_id);
  const answer: unknown[] = [
    facts,
    await stateAt(
      sql,
      no,
      rooms.map((roomId) => ({ roomId, at })),
      "all",
    ),
  ];
  for (const limit of [1, 20, 100]) {
    const timelines = await readTimelines(
      sql,
      no,
      rooms.map((roomId) => ({ roomId, after: 0, sentSince: null })),
      { to: from, limit, ignored: [] },
    );
    for (const roomId of rooms) {
      const timeline = timelines.get(roomId);
      const first = timeline?.events[0];
      const before = first ? first.ord - 1 : at;
      answer.push(shown(timeline));
      answer.push(await stateAt(sql, no, [{ roomId, at: before }], "all"), await allMembersAt(sql, no, [{ roomId, at: before }]));
      if (first) answer.push(await standingBefore(sql, no, roomId, first.ord));
    }
  }
  for (const roomId of rooms) {
    const page = { at: from, membership: ["join", "invite", "leave"], order: { by: "name" } as const, after: null, limit: 1000 };
    answer.push(await memberPage(sql, no, roomId, page));
    answer.push(await memberChanges(sql, no, roomId, { from, to, membership: ["join", "leave"], limit: 1000 }));
  }
  const deltas = await readTimelines(
    sql,
    no,
    ROOMS.map((roomId) => ({ roomId: roomId as RoomId, after: at, sentSince: null })),
    { to, limit: 100, ignored: [] },
  );
  answer.push([...deltas].map(([roomId, timeline]) => [roomId, shown(timeline)]));
  answer.push(
    await stateChanged(
      sql,
      no,
      rooms.map((roomId) => ({ roomId, from: at, to: now })),
      "all",
    ),
  );
  answer.push(unordered(await membershipOver(sql, no, rooms, from, to)), unordered(await roomsWithNewFacts(sql, no, from, to)));
  answer.push(unordered(await roomsWithEvents(sql, no, from, to)), await readInvites(sql, no, [], { from: at, to }));
  return JSON.parse(JSON.stringify(answer));
}

test("every question at or above the horizon is answered as before", async () => {
  let deleted = 0;
  await fc.assert(
    fc.asyncProperty(history, fractions, async (steps, sessions) => {
      users += 1;
      const account = await TestAccount.create(db.sql, `@me${users}:test`);
      const positions = await play(account, steps);
      const now = positions.at(-1) ?? 0;
      const used = sessions.map((fraction) => positions[Math.floor(fraction * (positions.length - 1))] ?? 0);
      for (const position of used) {
        await db.sql`insert into sessions (account, device, kind, position) values (${account.account}, ${account.device}, 'v3', ${position})`;
      }
      const horizon = Math.min(now, ...used);
      const asked = positions.filter((position) => position >= horizon);
      const before = await Promise.all(asked.map((position) => answers(account, position, now)));
      let clock = Date.now();
      const job = new RetentionJob({ sql: db.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * HOUR, now: () => clock });
      await job.runOnce();
      clock += HOUR;
      const { counts } = await job.runOnce();
      const [row] = await db.sql<{ horizon: number; swept: number }[]>`select horizon, swept from accounts where account = ${account.account}`;
      expect(row).toEqual({ horizon, swept: horizon });
      for (const [index, position] of asked.entries()) expect(await answers(account, position, now), `at ${position}`).toEqual(before[index]);
      const [dangling] = await db.sql`
        select from (select event_id from timeline union select event_id from state union select event_id from members) r
        where not exists (select from events e where e.event_id = r.event_id)`;
      expect(dangling).toBeUndefined();
      deleted += counts.timeline + counts.state + counts.members + counts.facts + counts.left_room_rows;
    }),
    { numRuns: 12, endOnFailure: true, examples: [muchToDelete] },
  );
  expect(deleted).toBeGreaterThan(100);
}, 60_000);
