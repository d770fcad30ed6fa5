import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { RetentionJob } from "../../src/upstream/retention-job.ts";
import type { Json } from "../support/events.ts";
import { HOUR } from "../support/retention-fixture.ts";
import { RoomRoutes } from "../support/rooms.ts";
import { type Answer, DIALECTS, type DialectName, SlidingClient, STICKY_EVENTS } from "../support/sliding.ts";
import { anyOperation, joins, KINDS, type Operation, RandomWorld } from "../support/random-world.ts";
import { askOf, FILTERS, listsOf, type Plan, type Scoped, scopeOf, STATES, stickyScopeOf } from "../support/sliding-plan.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";
import { type Loose, type RoomView, View } from "../support/view.ts";
import type { WorldRoom } from "../support/world-room.ts";
import { Hub } from "../../src/feed/hub.ts";

/**
 * After every answer, a client knows the actual state of each room that it asks about, however it got there: windows, filters and configs change,
 * rooms come and go, answers are lost, the server restarts, history is deleted.
 */

const ROOMS = 4;
const MEMBER = "m.room.member";
let t: V3Fixture;
let routes: RoomRoutes;
let count = 0;
let clock = Date.now();

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

const config = { limit: fc.nat(5), state: fc.nat(STATES.length - 1) };
const range = fc.tuple(fc.constantFrom(0, 0, 0, 1, 2), fc.nat(4)).map(([from, length]): readonly [number, number] => [from, from + length]);
const filter = fc.oneof(fc.constant(0), fc.nat(FILTERS.length - 1));
const plan: fc.Arbitrary<Plan> = fc.record({
  lists: fc.array(fc.record({ ...config, range, filter }), { minLength: 1, maxLength: 2 }),
  subs: fc.array(fc.record({ ...config, room: fc.nat(ROOMS - 1) }), { maxLength: 1 }),
  extensions: fc.subarray(["account_data", "receipts", "typing", STICKY_EVENTS]),
});
const operation = anyOperation(9, KINDS.rooms);
/** The user is in some rooms from the start. */
const JOINS: readonly Operation[] = [0, 1].map((room) => joins(room, 1));
/** Events happen, then the client asks by one of its plans; `lost`: first, an answer to another plan does not reach it. */
const step = fc.record({
  operations: fc.array(operation, { maxLength: 5 }),
  plan: fc.nat(2),
  lost: fc.option(fc.nat(2), { freq: 4 }),
  quiet: fc.integer({ min: 0, max: 3 }).map((value) => value === 0),
  trouble: fc.integer({ min: 0, max: 40 }).map((value): Step["trouble"] => (value === 0 ? "restart" : value === 1 ? "retention" : null)),
});
type Step = { operations: Operation[]; plan: number; lost: number | null; quiet: boolean; trouble: "restart" | "retention" | null };

/** Retention deletes what no client can ask for any more. */
async function anHour(): Promise<void> {
  const job = new RetentionJob({ sql: t.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 1e12, now: () => clock });
  await job.runOnce();
  clock += HOUR;
  await job.runOnce();
}

/** When retention deletes a room depends on what the client may still ask for, which other tests cover. */
async function deletedRooms({ world }: Run): Promise<string[]> {
  const rows = await t.sql<{ room_id: string }[]>`
    select s.room_id from standings s join accounts a using (account)
    where a.user_id = ${world.me} and not exists (select from room_facts f where f.account = s.account and f.room_id = s.room_id)`;
  return rows.map((row) => row.room_id);
}

type Run = {
  readonly world: RandomWorld;
  readonly view: View;
  readonly dialect: DialectName;
  readonly client: SlidingClient;
  /** When each room was last sent to the connection, as a count of responses. */
  readonly toldAt: Map<string, number>;
  pos: string | undefined;
};

function begin(dialect: DialectName, before: readonly Operation[]): Run {
  count += 1;
  const world = new RandomWorld(`@run${count}:test`, ROOMS);
  const client = new SlidingClient(t.login(world.me, "PHONE", world.respond(before)), dialect);
  for (const room of world.rooms) {
    routes.members(room.id, () => room.members());
    routes.messages(room.id, { chunk: [], start: "p" });
  }
  return { world, view: new View(world.me), dialect, client, toldAt: new Map(), pos: undefined };
}

async function asks(run: Run, asked: Plan): Promise<void> {
  const { world, view, dialect, toldAt } = run;
  const answer = await run.client.sync(askOf(asked, world, view.stickySince), { pos: run.pos });
  checkLists(asked, answer, listsOf(asked, world, view, toldAt));
  const scope = scopeOf(asked, world, view, dialect, toldAt);
  const sticking = asked.extensions.includes(STICKY_EVENTS) ? stickyScopeOf(asked, world, view, toldAt) : [];
  view.applySliding(answer, (id) => scope.get(id));
  run.pos = answer.pos;
  for (const id of scope.keys()) toldAt.set(id, world.step);
  for (const [id, what] of scope) checkRoom(run, id, what, answer);
  checkExtensions(run, asked, [...scope.keys()]);
  const sent = view.sticky.union(view.seen);
  for (const { id, sticky } of sticking)
    expect(
      sticky.filter((event) => !sent.has(event.event_id)),
      id,
    ).toEqual([]);
}

function checkLists(asked: Plan, answer: Answer, lists: readonly (readonly WorldRoom[])[]): void {
  for (const [index, rooms] of lists.entries()) {
    const sent = answer.lists[`l${index}`];
    expect(sent?.count).toBe(rooms.length);
    const [from, to] = asked.lists[index]?.range ?? [0, 0];
    if (sent?.ops) expect(sent.ops[0]?.room_ids).toEqual(rooms.slice(from, to + 1).map((room) => room.id));
  }
}

function checkRoom({ world, view, dialect }: Run, id: string, asked: Scoped, answer: Answer): void {
  const truth = world.room(id);
  const seen = view.rooms.get(id);
  if (!truth || !seen) throw new Error(`${id} was not sent`);
  expect(seen.membership, id).toBe(truth.membership);
  if (truth.membership === "invite" || truth.membership === "knock") return;
  if (truth.membership === "join" || truth.hasHistory) {
    checkTimeline(truth, seen, asked, answer);
    checkState(truth, seen, asked);
  }
  if (truth.membership === "join") checkFields(world, dialect, truth, seen);
}

function checkTimeline(truth: WorldRoom, seen: RoomView, asked: Scoped, answer: Answer): void {
  if (asked.limit === 0) return;
  const newest = truth.timeline.slice(truth.timeline.length - seen.ids.length);
  expect(seen.ids, truth.id).toEqual(newest.map((event) => event.id));
  expect(newest.slice(1).some((event) => event.gap)).toBe(false);
  const sent = answer.rooms[truth.id];
  if (sent?.["initial"] !== true && sent?.["unstable_expanded_timeline"] !== true) return;
  const known = truth.timeline.length - truth.timeline.findLastIndex((event) => event.gap);
  expect(seen.ids).toHaveLength(Math.min(asked.limit, known));
}

/** Everything that was asked for, and nothing that does not exist; of rooms that the user left, some members are unknown. */
function checkState(truth: WorldRoom, seen: RoomView, { matches, lazy }: Scoped): void {
  const isIn = truth.membership === "join";
  const asked = (key: string) => {
    const [type = "", stateKey = ""] = key.split("|");
    return matches(type, stateKey) && (isIn || type !== MEMBER);
  };
  const present = new Map([...truth.state].map(([key, event]) => [key, event.event_id]));
  const held = seen.stateIds;
  const pick = (of: ReadonlyMap<string, string>) => Object.fromEntries([...of].filter(([key]) => asked(key)).toSorted());
  expect(pick(held), truth.id).toEqual(pick(present));
  if (!lazy || !isIn) return;
  for (const user of [...seen.lazy, ...seen.senders]) {
    const key = `${MEMBER}|${user}`;
    expect([user, held.get(key)], truth.id).toEqual([user, present.get(key)]);
  }
}

function checkFields(world: RandomWorld, dialect: DialectName, truth: WorldRoom, seen: RoomView): void {
  const isV4 = dialect === "v4";
  const name = truth.content("m.room.name|")["name"] || undefined;
  const heroes = truth.heroes(world.me).slice(0, 5);
  // The unstable dialect cannot say that a name is gone, that a room has no heroes any more, or that it is no longer a DM.
  const { fields } = seen;
  if (isV4 || name !== undefined) expect(fields["name"] ?? undefined, truth.id).toBe(name);
  if (name === undefined && heroes.length > 0) expect(userIds(fields["heroes"]), truth.id).toEqual(heroes);
  if (isV4 || world.direct.has(truth.id)) expect(fields["is_dm"] ?? false, truth.id).toBe(world.direct.has(truth.id));
  expect(fields["avatar"] ?? undefined, truth.id).toBe(truth.content("m.room.avatar|")["url"]);
  expect([fields["joined_count"], fields["invited_count"]], truth.id).toEqual([truth.members("join").length, truth.members("invite").length]);
  if (isV4) return;
  const { notification_count, highlight_count } = fields;
  expect({ notification_count, highlight_count }, truth.id).toEqual(truth.unread);
}

function userIds(heroes: readonly Loose[] | undefined): unknown[] | undefined {
  return heroes?.map((hero) => hero["user_id"]);
}

function checkExtensions({ world, view }: Run, { extensions }: Plan, ids: readonly string[]): void {
  // Clients may or may not have what was sent before a room was purged.
  const dataOf = (room: string, of: ReadonlyMap<string, Json>, wasPurged = false) => {
    const seen = [...view.accountData]
      .filter(([key]) => key.startsWith(`${room} `))
      .map(([key, data]) => [key.slice(room.length + 1), data] as const);
    const known = seen.filter(([type]) => !wasPurged || of.has(type));
    expect(Object.fromEntries(known), room).toEqual(Object.fromEntries(of));
  };
  if (extensions.includes("account_data")) dataOf("", world.global);
  for (const id of ids) {
    const truth = world.room(id);
    if (!truth) continue;
    if (extensions.includes("account_data")) dataOf(id, truth.accountData, truth.wasPurged);
    if (truth.membership !== "join") continue;
    if (extensions.includes("typing")) expect((view.typing.get(id) ?? []).toSorted(), id).toEqual(truth.typing.toSorted());
    if (extensions.includes("receipts")) checkReceipts(world, view, truth);
  }
}

/** The user's own receipts, those on events that the client has, and any others that it was sent. */
function checkReceipts(world: RandomWorld, view: View, truth: WorldRoom): void {
  const shown = new Set(view.rooms.get(truth.id)?.ids);
  for (const [key, eventId] of truth.receipts) {
    const seen = view.receipts.get(`${truth.id} ${key}`)?.event;
    const isTold = key.startsWith(`${world.me} `) || shown.has(eventId) || seen !== undefined;
    if (isTold) expect([key, seen], truth.id).toEqual([key, eventId]);
  }
}

async function follow(dialect: DialectName, before: readonly Operation[], plans: readonly Plan[], steps: readonly Step[]): Promise<void> {
  const run = begin(dialect, before);
  const planOf = (place: number): Plan => plans[place % plans.length] ?? { lists: [], subs: [], extensions: [] };
  await asks(run, planOf(0));
  for (const one of steps) {
    if (one.operations.length > 0) await t.deliver(run.client.client, run.world.respond(one.operations));
    if (one.trouble === "restart") await t.restart();
    if (one.trouble === "retention") {
      await anHour();
      run.world.purge(await deletedRooms(run));
      // In an hour they have expired.
      for (const room of run.world.rooms) room.sticky.length = 0;
    }
    if (one.quiet) continue;
    if (one.lost !== null) await run.client.sync(askOf(planOf(one.lost), run.world, run.view.stickySince), { pos: run.pos });
    await asks(run, planOf(one.plan));
  }
}

describe.each(DIALECTS)("%s: M61 M5 M3", (dialect) => {
  it("M61: what a client assembles is the actual state of every room that it asks about", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 8 }),
        fc.array(plan, { minLength: 1, maxLength: 3 }),
        fc.array(step, { minLength: 6, maxLength: 14 }),
        (before, plans, steps) => follow(dialect, [...JOINS, ...before], plans, steps),
      ),
      { numRuns: Number(process.env["FC_RUNS"] ?? 12) },
    );
  }, 240_000);
});
