/** A client that assembles rooms from any windows ends up with what a new connection is sent, and is never sent anything wrong. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MatrixEvent } from "../support/events.ts";
import { anyOperation, joins, type Operation, RandomWorld } from "../support/random-world.ts";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";
import { type AskedState, type Loose, type RoomView, View } from "../support/view.ts";

let count = 0;
const t = v3Server();

const ROOMS = 3;
const MEMBER = "m.room.member";
const NARROW = [["m.room.name", ""] as const, [MEMBER, "$ME"] as const, [MEMBER, "$LAZY"] as const];
const WIDE = [...NARROW, ["m.room.topic", ""] as const, [MEMBER, "@bob:test"] as const];

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

function asked({ window, limit, wide, open }: Omit<Step, "operations" | "lost">, world: RandomWorld): Ask {
  const state = wide ? WIDE : NARROW;
  return {
    ...(window > 0 && { lists: { all: { ranges: [[0, window - 1]], limit, state } } }),
    ...(open > 0 && { subs: { [world.rooms[open - 1]?.id ?? ""]: { limit: limit + 2, state } } }),
  };
}

/** Who is asked for by name, whatever is loaded lazily. */
function askedOf(me: string, wide: boolean): AskedState {
  const named = wide ? [me, "@bob:test"] : [me];
  return { lazy: true, matches: (type, key) => type !== MEMBER || named.includes(key) };
}

/** User → id of the member event that the client has. */
function membersOf(room: RoomView): Map<string, string> {
  const members = [...room.state.values()].filter((event) => event["type"] === MEMBER);
  return new Map(members.map((event) => [event["state_key"] as string, event["event_id"] as string]));
}

/** Everything that is sent must be correct when it is sent. */
function expectTrue(world: RandomWorld, view: View, answer: Answer, wide: boolean): void {
  view.applySliding(answer, () => askedOf(world.me, wide));
  for (const roomId of Object.keys(answer.rooms)) expectTrueRoom(world, view, roomId, answer, wide);
}

function expectTrueRoom(world: RandomWorld, view: View, roomId: string, { rooms }: Answer, wide: boolean): void {
  const [room, sent] = [view.rooms.get(roomId), rooms[roomId]];
  if (!room || !sent) throw new Error(`${roomId} was not sent`);
  const members = world.members(roomId, null);
  const own = members.find((event) => event.state_key === world.me);
  expect(room.membership, `membership in ${roomId}`).toBe(own?.content["membership"]);
  expect(new Set(room.ids).size, "events come once").toBe(room.ids.length);
  if (sent["invite_state"] !== undefined || room.membership !== "join") return;
  const timeline = (sent["timeline"] ?? []) as MatrixEvent[];
  const types = wide ? ["m.room.name", "m.room.topic", MEMBER] : ["m.room.name", MEMBER];
  const held = membersOf(room);
  const present = new Map(members.map((event) => [String(event.state_key), event.event_id]));
  for (const event of timeline) {
    if (types.includes(event.type)) expect([...room.state.keys()], "state of the timeline").toContain(`${event.type}|${event.state_key}`);
    if (present.has(event.sender)) expect([...held.keys()], "senders").toContain(event.sender);
  }
  for (const [user, id] of held) expect(id, `member ${user}`).toBe(present.get(user));
}

async function play(dialect: DialectName, steps: readonly Step[]): Promise<void> {
  count += 1;
  const world = new RandomWorld(`@reader${count}:test`, ROOMS);
  const view = new View(world.me);
  const account = t.login(world.me, "PHONE", world.respond([joins(0)]));
  const client = new SlidingClient(account, dialect);
  let pos: string | undefined;
  for (const { operations, lost, ...ask } of steps) {
    const answer = await client.sync(asked(ask, world), { pos });
    if (!lost || pos === undefined) {
      ({ pos } = answer);
      expectTrue(world, view, answer, ask.wide);
    }
    await t.deliver(account, world.respond(operations));
  }
  const everything = asked({ window: ROOMS, limit: 10, wide: true, open: 0 }, world);
  const last = await client.sync(everything, { pos });
  expectTrue(world, view, last, true);
  expect((await client.sync(everything, { pos: last.pos })).rooms, "all was sent").toEqual({});
  expectSame(view, await client.sync({ ...everything, connId: "fresh" }), dialect);
}

/** What the unstable dialect cannot say: that a name or heroes are gone, or that a room is no longer a DM. */
const UNSAID = ["name", "heroes", "is_dm"];

/** A new connection is sent the same, except for rooms that were left. */
function expectSame(view: View, answer: Answer, dialect: DialectName): void {
  const fresh = new View(view.me).applySliding(answer);
  for (const [roomId, full] of fresh.rooms) {
    const assembled = view.rooms.get(roomId);
    expect(assembled?.membership).toBe(full.membership);
    if (full.membership !== "join") continue;
    // Heroes count only if there is no name.
    const isSaid = (name: string) =>
      (name in full.fields || dialect === "v4" || !UNSAID.includes(name)) && (name !== "heroes" || !full.fields["name"]);
    const values = (fields: Loose = {}) =>
      Object.fromEntries(Object.entries(fields).filter(([name, value]) => (value ?? false) !== false && isSaid(name)));
    expect(values(assembled?.fields)).toEqual(values(full.fields));
    for (const [key, id] of full.stateIds) if (!key.startsWith(MEMBER)) expect(assembled?.stateIds.get(key), key).toBe(id);
    const length = Math.min(assembled?.ids.length ?? 0, full.ids.length);
    expect(assembled?.ids.slice(-length)).toEqual(full.ids.slice(-length));
    expect(length > 0 || full.ids.length === 0).toBe(true);
  }
  for (const [roomId, { membership }] of view.rooms) if (!fresh.rooms.has(roomId)) expect(membership, roomId).toBeOneOf(["leave", "ban"]);
}

describe.each(DIALECTS)("rooms as Element X reads them", (dialect) => {
  it("M22 M23 M31 M32 M33 M39 M40 M43: hold whatever happens and whatever windows are requested", async () => {
    const runs = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), (steps) => play(dialect, steps));
    await fc.assert(runs, { numRuns: 8 });
  });
});
