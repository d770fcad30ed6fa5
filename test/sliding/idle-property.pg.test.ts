import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leaveIdle, retain } from "../support/idle.ts";
import { anyOperation, joins, type Operation, RandomWorld } from "../support/random-world.ts";
import { DAY, HOUR } from "../support/retention-fixture.ts";
import { RoomRoutes } from "../support/rooms.ts";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { STATES } from "../support/sliding-plan.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";
import { OTHERS } from "../support/world-room.ts";
import { type AskedState, type RoomView, View } from "../support/view.ts";

/**
 * A client that comes back after weeks, with the last position or an earlier one, knows afterwards what a client knows that has just begun,
 * whatever happened and whatever retention has deleted meanwhile.
 */

const ROOMS = 4;
const MEMBER = "m.room.member";
/** The user's own membership, others lazily, and other state. */
const STATE = STATES[3] ?? [];
const askedBy = (me: string): AskedState => ({ lazy: true, matches: (type, key) => (type === MEMBER ? key === me : type === "im.key") });
let t: V3Fixture;
let routes: RoomRoutes;
let count = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

const operations = (maxLength: number) => fc.array(anyOperation(9), { maxLength });
/** Before the client goes away: how many of the rooms it asks about, too. */
const before = fc.record({ operations: operations(4), window: fc.integer({ min: 0, max: ROOMS - 1 }), all: fc.boolean() });
/** While it is away; `hours`: retention runs afterwards. */
const meanwhile = fc.record({ operations: operations(5), hours: fc.boolean() });
const absence = fc.record({
  meanwhile: fc.array(meanwhile, { minLength: 1, maxLength: 5 }),
  /** Which of its positions it comes back with: 0 the last. */
  back: fc.nat(3),
  restart: fc.boolean(),
});
type Before = { readonly operations: readonly Operation[]; readonly window: number; readonly all: boolean };
type Meanwhile = { readonly operations: readonly Operation[]; readonly hours: boolean };
type Absence = { readonly meanwhile: readonly Meanwhile[]; readonly back: number; readonly restart: boolean };

const on = { enabled: true };
function askOf(connId: string, window: number, all = true, since?: string): Ask {
  const ext = { e2ee: on, to_device: { enabled: true, ...(since !== undefined && { since }) } };
  return {
    connId,
    lists: { all: { ranges: [[0, window]], limit: 3, state: STATE } },
    ext: { ...ext, ...(all && { account_data: on, receipts: on, typing: on }) },
  };
}

/** A client: every answer that it has had, of which it may lose the last. */
class Client {
  readonly #sliding: SlidingClient;
  readonly #me: string;
  answers: Answer[] = [];
  /** Belongs to the device, not to a position. */
  since: string | undefined;
  /** Numbers of the messages that it has received. */
  readonly messages: number[] = [];

  constructor(sliding: SlidingClient, me: string) {
    this.#sliding = sliding;
    this.#me = me;
  }

  /** @param connId begun if it has had no answers */
  async ask(connId: string, window: number, all = true): Promise<Answer> {
    const answer = await this.#sliding.sync(askOf(connId, window, all, this.since), { pos: this.answers.at(-1)?.pos });
    this.answers.push(answer);
    const queue = answer.extensions["to_device"];
    this.since = (queue?.next_batch as string | undefined) ?? this.since;
    this.messages.push(...((queue?.events ?? []) as { content: { n: number } }[]).map((event) => event.content.n));
    return answer;
  }

  goBack(answers: number): void {
    this.answers = this.answers.slice(0, Math.max(1, this.answers.length - answers));
  }

  get view(): View {
    const view = new View(this.#me);
    for (const answer of this.answers) view.applySliding(answer, () => askedBy(this.#me));
    return view;
  }
}

/** Weeks without requests of the client. */
async function pass(client: SlidingClient, world: RandomWorld, { meanwhile: steps, restart }: Absence): Promise<void> {
  await leaveIdle(t, world.me, 2 * HOUR);
  for (const { operations: happening, hours } of steps) {
    await t.deliver(client.client, world.respond(happening));
    if (!hours) continue;
    await retain(t);
    await retain(t, HOUR + 60_000);
  }
  await leaveIdle(t, world.me, 20 * DAY);
  await retain(t);
  if (restart) await t.restart();
}

async function play(dialect: DialectName, steps: readonly Before[], absences: readonly Absence[]): Promise<void> {
  count += 1;
  const world = new RandomWorld(`@idle${count}:test`, ROOMS);
  const phone = new SlidingClient(t.login(world.me, "PHONE", world.respond([joins(0), joins(1)])), dialect);
  for (const room of world.rooms) {
    routes.members(room.id, () => room.members());
    routes.messages(room.id, { chunk: [], start: "p" });
  }
  const client = new Client(phone, world.me);
  await client.ask("main", 0);
  for (const { operations: happening, window, all } of steps) {
    await t.deliver(phone.client, world.respond(happening));
    await client.ask("main", window, all);
  }
  for (const [index, one] of absences.entries()) {
    client.goBack(one.back);
    await pass(phone, world, one);
    await client.ask("main", ROOMS - 1);
    // Rooms that were left are listed until that is sent.
    const after = await client.ask("main", ROOMS - 1);
    const fresh = new Client(phone, world.me);
    fresh.since = client.since;
    const first = await fresh.ask(`fresh${index}`, ROOMS - 1);
    expect(after.lists).toEqual(first.lists);
    expectSame(world, dialect, client.view, fresh.view);
  }
  const happened = [...steps, ...absences.flatMap((one) => one.meanwhile)].flatMap((one) => one.operations);
  const sent = happened.filter(({ kind }) => kind === "to_device").map((_, index) => index + 1);
  expect(client.messages).toEqual(sent);
  const changed = happened.filter(({ kind }) => kind === "device_changed" || kind === "device_left").map(({ who }) => OTHERS[who % OTHERS.length]);
  expect(new Set(client.view.devices.keys())).toEqual(new Set(changed));
}

function expectSame(world: RandomWorld, dialect: DialectName, back: View, fresh: View): void {
  for (const [id, room] of fresh.rooms) {
    const known = back.rooms.get(id);
    expect(known, id).toBeDefined();
    if (known) expectSameRoom(world, dialect, id, known, room);
  }
  // Of rooms that nobody has any more it knows that.
  for (const [id, room] of back.rooms) if (!fresh.rooms.has(id)) expect(["leave", "ban"], id).toContain(room.membership);
  const joined = [...fresh.rooms].filter(([, room]) => room.membership === "join").map(([id]) => id);
  expect(Object.fromEntries([...back.accountData].filter(([key]) => fresh.accountData.has(key)))).toEqual(Object.fromEntries(fresh.accountData));
  for (const id of joined) expect(back.typing.get(id) ?? [], id).toEqual(fresh.typing.get(id) ?? []);
  for (const [key, receipt] of fresh.receipts) expect([key, back.receipts.get(key)?.event]).toEqual([key, receipt.event]);
  expect([back.keys, back.fallbacks]).toEqual([fresh.keys, fresh.fallbacks]);
}

function expectSameRoom(world: RandomWorld, dialect: DialectName, id: string, known: RoomView, room: RoomView): void {
  expect(known.membership, id).toBe(room.membership);
  if (room.membership === "invite" || room.membership === "knock") {
    expect(known.stripped, id).toEqual(room.stripped);
    return;
  }
  const isNamed = (key: string) => !key.startsWith(MEMBER);
  const named = ({ stateIds }: RoomView) => Object.fromEntries([...stateIds].filter(([key]) => isNamed(key)).toSorted());
  expect(named(known), id).toEqual(named(room));
  const truth = world.room(id);
  // Whoever it knows, it knows as they are; and everybody that it needs.
  for (const key of room.stateIds.keys()) expect(known.stateIds.has(key), `${id} ${key}`).toBe(true);
  if (room.membership !== "join" || !truth) return;
  for (const [key, event] of known.stateIds) expect([key, event], id).toEqual([key, truth.state.get(key)?.event_id]);
  const shown = Math.min(known.ids.length, room.ids.length);
  expect(known.ids.slice(-shown), id).toEqual(room.ids.slice(-shown));
  expect(known.ids, id).toEqual(truth.timeline.slice(-known.ids.length).map((event) => event.id));
  // The unstable dialect cannot say that a name is gone, that a room has no heroes any more, or that it is no longer a DM.
  const fields = Object.keys(dialect === "v4" ? { ...known.fields, ...room.fields } : room.fields);
  const said = fields.filter((field) => field !== "heroes" || room.fields["heroes"]);
  const shownAs = (of: RoomView) => Object.fromEntries(said.map((field) => [field, of.fields[field] || null]));
  expect(shownAs(known), id).toEqual(shownAs(room));
}

describe.each(DIALECTS)("%s: after weeks", (dialect) => {
  it("M96 M95 M97 M3 M5: a client that comes back knows what one knows that has just begun", async () => {
    const runs = fc.asyncProperty(
      fc.array(before, { minLength: 1, maxLength: 5 }),
      fc.array(absence, { minLength: 1, maxLength: 2 }),
      (steps, absences) => play(dialect, steps, absences),
    );
    await fc.assert(runs, { numRuns: Number(process.env["FC_RUNS"] ?? 10) });
  }, 240_000);
});
