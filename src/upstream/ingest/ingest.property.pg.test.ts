import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { freshDatabase } from "../../../test/support/database.ts";
import type { TestDatabase } from "../../../test/support/database.ts";
import { ev } from "../../../test/support/events.ts";
import type { MatrixEvent, RoomParts } from "../../../test/support/events.ts";
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
const USERS = ["@u0:test", "@u1:test", "@u2:test"] as const;

/** What happens in one room between two polls, and how much of it the homeserver sends. */
type RoomStep = { room: number; events: number[]; show: number; leave: boolean };

const step = fc.record({
  room: fc.nat(ROOMS.length - 1),
  events: fc.array(fc.nat(11), { maxLength: 6 }),
  // More than happened: events that were sent before come again.
  show: fc.nat(9),
  leave: fc.boolean(),
});
const batch = fc.record({ steps: fc.uniqueArray(step, { selector: (each) => each.room, maxLength: ROOMS.length }), twice: fc.boolean() });

/** One room at the homeserver: every event there ever was, and which of them the account was sent. */
class ModelRoom {
  readonly events: MatrixEvent[] = [];
  readonly #me: string;
  joined = false;
  /** Indices of the events that were sent, in the order of the account's timeline. */
  readonly sent: number[] = [];
  /** First events of newly joined rooms that do follow our newest one: nothing shows that, so a gap is right as well. */
  readonly unclear = new Set<number>();

  constructor(me: string) {
    this.#me = me;
  }

  /** The v2 section of what happens now. */
  play(now: RoomStep): { to: "join" | "leave"; section: RoomParts } | null {
    const since = this.events.length;
    const before = this.stateAt(since - 1);
    if (since === 0) this.events.push(ev.create(USERS[0]));
    for (const n of now.events) this.events.push(this.#event(n));
    const isNew = !this.joined;
    if (isNew) this.events.push(ev.member(this.#me));
    const leaves = !isNew && now.leave;
    if (leaves) this.events.push(ev.member(this.#me, "leave"));
    this.joined = !leaves;
    // A timeline reaches back before the last poll only if a room is newly joined, or over events that were sent.
    const floor = isNew || this.sent.at(-1) === since - 1 ? 0 : since;
    const start = Math.max(floor, this.events.length - now.show);
    const atStart = this.stateAt(start - 1);
    const state = [...atStart].filter(([key, event]) => isNew || (start > since && before.get(key) !== event)).map(([, event]) => event);
    const seen = new Set(this.sent);
    let first = start;
    for (let index = start; index < this.events.length; index += 1) if (seen.has(index)) first = index + 1;
    if (isNew && first === start) this.unclear.add(first);
    for (let index = first; index < this.events.length; index += 1) this.sent.push(index);
    const limited = isNew ? start > 0 : start > since;
    return { to: leaves ? "leave" : "join", section: { state, timeline: this.events.slice(start), limited, prev_batch: `p${start}` } };
  }

  /** The state after the event of that index, by type and key. */
  stateAt(index: number): Map<string, MatrixEvent> {
    const state = new Map<string, MatrixEvent>();
    for (const event of this.events.slice(0, index + 1)) {
      if (event.state_key !== undefined) state.set(`${event.type}|${event.state_key}`, event);
    }
    return state;
  }

  #event(n: number): MatrixEvent {
    const user = USERS[n % 3] ?? USERS[0];
    if (n < 3) return ev.message(user);
    if (n < 6) return ev.member(user, ["join", "leave", "invite"][this.events.length % 3]);
    if (n < 9) return ev.state("x", String(n), user, {});
    return n < 11 ? ev.topic(user, "t") : ev.name(user, "n");
  }
}

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
