/** A client that assembles rooms from any windows ends up with what a new connection is sent, and is never sent anything wrong. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MatrixEvent } from "../support/fake-homeserver.ts";
import { RoomReader } from "../support/room-reader.ts";
import { type Ask, DIALECTS, type DialectName, type RoomAnswer, SlidingClient } from "../support/sliding.ts";
import { anyOperation, type Operation, World } from "../support/v2-world.ts";
import { v3Server } from "../support/v3.ts";

let count = 0;
const t = v3Server();

const ROOMS = 3;
const NARROW = [["m.room.name", ""] as const, ["m.room.member", "$ME"] as const, ["m.room.member", "$LAZY"] as const];
const WIDE = [...NARROW, ["m.room.topic", ""] as const, ["m.room.member", "@bob:test"] as const];

type Step = {
  readonly operations: readonly Operation[];
  /** The number of rooms in the window. */
  readonly window: number;
  readonly limit: number;
  /** The room that is subscribed to with a longer timeline, counted from 1; 0: none. */
  readonly open: number;
  readonly wide: boolean;
  /** The answer never arrives. */
  readonly lost: boolean;
};

const step: fc.Arbitrary<Step> = fc.record({
  operations: fc.array(anyOperation(7), { maxLength: 5 }),
  window: fc.integer({ min: 0, max: ROOMS }),
  limit: fc.integer({ min: 1, max: 4 }),
  open: fc.integer({ min: 0, max: ROOMS }),
  wide: fc.boolean(),
  lost: fc.boolean(),
});

function asked({ window, limit, wide, open }: Omit<Step, "operations" | "lost">, world: World): Ask {
  const state = wide ? WIDE : NARROW;
  return {
    ...(window > 0 && { lists: { all: { ranges: [[0, window - 1]], limit, state } } }),
    ...(open > 0 && { subs: { [world.roomId(open - 1)]: { limit: limit + 2, state } } }),
  };
}

/** Everything that is sent must be correct when it is sent. */
function expectTrue(world: World, reader: RoomReader, roomId: string, told: RoomAnswer, wide: boolean): void {
  const room = reader.apply(roomId, told, wide ? [world.me, "@bob:test"] : [world.me]);
  const members = world.members(roomId, null);
  const own = members.find((event) => event.state_key === world.me);
  expect(room.membership, `membership in ${roomId}`).toBe(own?.content["membership"]);
  expect(new Set(room.timeline).size, "events come once").toBe(room.timeline.length);
  if (told["invite_state"] !== undefined || room.membership !== "join") return;
  const timeline = (told["timeline"] ?? []) as MatrixEvent[];
  const types = wide ? ["m.room.name", "m.room.topic", "m.room.member"] : ["m.room.name", "m.room.member"];
  const present = new Map(members.map((event) => [String(event.state_key), event.event_id]));
  for (const event of timeline) {
    if (types.includes(event.type)) expect([...room.state.keys()], "state of the timeline").toContain(`${event.type}|${event.state_key}`);
    if (present.has(event.sender)) expect([...room.members.keys()], "senders").toContain(event.sender);
  }
  for (const [user, id] of room.members) expect(id, `member ${user}`).toBe(present.get(user));
}

async function play(dialect: DialectName, steps: readonly Step[]): Promise<void> {
  count += 1;
  const world = new World(`@reader${count}:test`, ROOMS);
  const reader = new RoomReader(world.me);
  const account = t.login(world.me, "PHONE", world.respond([{ kind: "join", room: 0, who: 0, value: 0 }]));
  const client = new SlidingClient(account, dialect);
  let pos: string | undefined;
  for (const { operations, lost, ...ask } of steps) {
    const answer = await client.sync(asked(ask, world), { pos });
    if (!lost || pos === undefined) {
      ({ pos } = answer);
      for (const [roomId, told] of Object.entries(answer.rooms)) expectTrue(world, reader, roomId, told, ask.wide);
    }
    await t.deliver(account, world.respond(operations));
  }
  const everything = asked({ window: ROOMS, limit: 10, wide: true, open: 0 }, world);
  const last = await client.sync(everything, { pos });
  for (const [roomId, told] of Object.entries(last.rooms)) expectTrue(world, reader, roomId, told, true);
  expect((await client.sync(everything, { pos: last.pos })).rooms, "all was told").toEqual({});
  expectSame(reader, (await client.sync({ ...everything, connId: "fresh" })).rooms);
}

/** A new connection is sent the same, except for rooms that were left. */
function expectSame(reader: RoomReader, rooms: Readonly<Record<string, RoomAnswer>>): void {
  const fresh = new RoomReader(reader.me);
  for (const [roomId, told] of Object.entries(rooms)) {
    const full = fresh.apply(roomId, told);
    const assembled = reader.rooms.get(roomId);
    expect(assembled?.membership).toBe(full.membership);
    if (full.membership !== "join") continue;
    const values = (fields: ReadonlyMap<string, unknown> = new Map()) =>
      Object.fromEntries([...fields].filter(([, value]) => value !== false).toSorted());
    expect(values(assembled?.fields)).toEqual(values(full.fields));
    for (const [key, id] of full.state) if (!key.startsWith("m.room.member")) expect(assembled?.state.get(key), key).toBe(id);
    const length = Math.min(assembled?.timeline.length ?? 0, full.timeline.length);
    expect(assembled?.timeline.slice(-length)).toEqual(full.timeline.slice(-length));
    expect(length > 0 || full.timeline.length === 0).toBe(true);
  }
  for (const [roomId, { membership }] of reader.rooms) if (!(roomId in rooms)) expect(membership, roomId).toBe("leave");
}

describe.each(DIALECTS)("rooms as Element X reads them", (dialect) => {
  it("M22 M23 M31 M32 M33 M39 M40 M43: hold whatever happens and whatever windows are requested", async () => {
    const runs = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), (steps) => play(dialect, steps));
    await fc.assert(runs, { numRuns: 8 });
  });
});
