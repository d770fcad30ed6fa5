import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { freshDatabase } from "../../../test/support/database.ts";
import type { TestDatabase } from "../../../test/support/database.ts";
import type { MatrixEvent, RoomParts } from "../../../test/support/events.ts";
import { learnReplaced } from "./learn-replaced.ts";
import { ModelRoom, type RoomStep, roomStep } from "../../../test/support/model-room.ts";
import { TestAccount } from "../../../test/support/test-account.ts";

let db: TestDatabase;
let users = 0;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(async () => {
  await db.drop();
});

const ROOMS = ["!a:test", "!b:test"] as const;

const batchOf = (isUnruly: boolean) => {
  const steps = fc.uniqueArray(roomStep(ROOMS.length, isUnruly), { selector: (each) => each.room, maxLength: ROOMS.length });
  return fc.record({ steps, twice: fc.boolean() });
};
const batch = batchOf(false);
const unrulyBatch = batchOf(true);

type ValiditySpan = { key: string; from_ord: number; to_ord: number; event_id: string };

async function spans(account: TestAccount, room: string): Promise<ValiditySpan[]> {
  return [
    ...(await db.sql<ValiditySpan[]>`
    select type || '|' || state_key as key, from_ord, to_ord, event_id from state where account = ${account.account} and room_id = ${room}
    union all
    select 'm.room.member|' || user_id, from_ord, to_ord, event_id from members where account = ${account.account} and room_id = ${room}`),
  ];
}

function stateOf(rows: readonly ValiditySpan[], at: number): Record<string, string> {
  const open = rows.filter((row) => row.from_ord <= at && at < row.to_ord);
  const state = Object.fromEntries(open.map((row) => [row.key, row.event_id]));
  expect(Object.keys(state), "one open row a key").toHaveLength(open.length);
  return state;
}

function idsOf(state: ReadonlyMap<string, MatrixEvent>): Record<string, string> {
  return Object.fromEntries([...state].map(([key, event]) => [key, event.event_id]));
}

test("after random histories with gaps, overlaps, leaving and rejoining every position and every event has the homeserver's state", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 8 }), async (batches) => {
      users += 1;
      const me = await TestAccount.create(db.sql, `@me${users}:test`);
      const rooms = ROOMS.map(() => new ModelRoom(me.me));
      const snapshots: { position: number; states: Record<string, string>[] }[] = [];
      for (const { steps, twice } of batches) {
        const parts: { join: Record<string, RoomParts>; leave: Record<string, RoomParts> } = { join: {}, leave: {} };
        for (const each of steps) {
          const played = rooms[each.room]?.play(each);
          if (played) parts[played.to][ROOMS[each.room] ?? ""] = played.section;
        }
        const position = await me.step(parts);
        if (twice) expect(await me.step(parts), "told twice, changed once").toBe(position);
        snapshots.push({ position, states: rooms.map((room) => idsOf(room.stateAt(room.events.length - 1))) });
      }
      for (const [index, room] of rooms.entries()) {
        const name = ROOMS[index] ?? "";
        const rows = await spans(me, name);
        for (const { position, states } of snapshots) expect(stateOf(rows, position)).toEqual(states[index]);
        const timeline = await me.timeline(name);
        expect(timeline.map((row) => row.id)).toEqual(room.sent.map((each) => room.events[each]?.event_id));
        for (const [position, row] of timeline.entries()) {
          const at = room.sent[position] ?? -1;
          expect(stateOf(rows, row.ord)).toEqual(idsOf(room.stateAt(at)));
          const missing = at !== (room.sent[position - 1] ?? -1) + 1;
          if (missing || at === 0 || !room.unclear.has(at)) expect(row.gap).toBe(missing);
          if (row.prev_batch !== null) expect(row.prev_batch).toBe(`p${at}`);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("T21: a history that is told with the state after its timelines leaves the same store as one with the state before them", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 8 }), async (batches) => {
      users += 1;
      const accounts = [await TestAccount.create(db.sql, `@before${users}:test`), await TestAccount.create(db.sql, `@after${users}:test`)] as const;
      const [before, after] = accounts;
      const rooms = ROOMS.map(() => new ModelRoom(after.me));
      const snapshots: { position: number; states: Record<string, string>[] }[] = [];
      for (const { steps, twice } of batches) {
        const told = sectionsOf(steps, rooms);
        await before.step(told.before, { userId: after.me });
        const position = await after.step(told.after);
        await learn(after, rooms);
        if (twice) expect(await after.step(told.after), "told twice, changed once").toBe(position);
        snapshots.push({ position, states: rooms.map((room) => idsOf(room.stateAt(room.events.length - 1))) });
      }
      for (const [index, room] of rooms.entries()) {
        const name = ROOMS[index] ?? "";
        const rows = await spans(after, name);
        for (const { position, states } of snapshots) expect(stateOf(rows, position)).toEqual(states[index]);
        const timelines = await Promise.all(accounts.map((account) => account.timeline(name)));
        const [expected, timeline = []] = timelines.map((each) => each.map((row) => ({ ...row, ord: 0 })));
        expect(timeline).toEqual(expected);
        if (timeline.length > 0) expect(await factsOf(after, name)).toEqual(await factsOf(before, name));
        for (const [place, row] of (timelines[1] ?? []).entries()) {
          const at = room.sent[place] ?? -1;
          const [truth, stored] = [idsOf(room.stateAt(at)), stateOf(rows, row.ord)];
          expect(stored).toEqual(truth);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("T21: where state changes without an event, and events of the timeline change nothing, the present state is the homeserver's", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(unrulyBatch, { minLength: 1, maxLength: 8 }), async (batches) => {
      users += 1;
      const me = await TestAccount.create(db.sql, `@me${users}:test`);
      const rooms = ROOMS.map(() => new ModelRoom(me.me));
      const snapshots: { position: number; states: Record<string, string>[] }[] = [];
      for (const { steps, twice } of batches) {
        const told = sectionsOf(steps, rooms);
        const position = await me.step(told.after);
        if (twice) expect(await me.step(told.after), "told twice, changed once").toBe(position);
        snapshots.push({ position, states: rooms.map((room) => idsOf(room.stateAt(room.events.length - 1))) });
      }
      for (const [index, room] of rooms.entries()) {
        const rows = await spans(me, ROOMS[index] ?? "");
        for (const { position, states } of snapshots) expect(stateOf(rows, position)).toEqual(states[index]);
        expect(await me.ids(ROOMS[index] ?? "")).toEqual(room.sent.map((each) => room.events[each]?.event_id));
      }
    }),
    { numRuns: 60 },
  );
});

/** Has what the timelines' events replaced fetched, as far as it is unknown: see replaced-states.ts. */
async function learn({ sql, account, now, replaced }: TestAccount, rooms: readonly ModelRoom[]): Promise<void> {
  for (const each of replaced) {
    const event = rooms.flatMap((room) => room.events).find(({ event_id }) => event_id === each.event_id);
    // oxlint-disable-next-line no-await-in-loop -- one after the other, as they are fetched
    await learnReplaced(sql, { account, replaced: each, text: JSON.stringify({ ...event, room_id: each.room_id }), now });
  }
}

type Sections = { readonly join: Record<string, RoomParts>; readonly leave: Record<string, RoomParts> };

/** What happens, in both forms. */
function sectionsOf(steps: readonly RoomStep[], rooms: readonly ModelRoom[]): { readonly before: Sections; readonly after: Sections } {
  const before: Sections = { join: {}, leave: {} };
  const after: Sections = { join: {}, leave: {} };
  for (const each of steps) {
    const played = rooms[each.room]?.play(each);
    const name = ROOMS[each.room] ?? "";
    if (played) before[played.to][name] = played.section;
    if (played) after[played.to][name] = played.after;
  }
  return { before, after };
}

async function factsOf(account: TestAccount, room: string): Promise<object> {
  return { ...(await account.facts(room)), from_ord: 0 };
}
