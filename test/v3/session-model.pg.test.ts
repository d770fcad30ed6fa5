/**
 * The session state machine against a model of it: random sessions ask, repeat old tokens, page, wait, end and expire while
 * data comes and the server restarts, and each answer must be exactly what the model says (I1-I6, I9).
 */

import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, type Json, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { hang, membersOf, type Scene, scene, typingOf } from "../support/scene.ts";
import { type Batch, type Body, type Expected, type Place, type Rest, SessionModel, type Told } from "../support/session-model.ts";
import { type Answer, startV3, type V3Fixture } from "../support/v3.ts";

const UNKNOWN_SESSION = '{"errcode":"M_UNKNOWN_SYNC_SESSION","error":"Session unknown or expired"}';
const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";
const OTHERS = ["@a:test", "@b:test"];
const PICKS = 1000;
const USERS = [...OTHERS, "@c:test", "@d:test", "@x:test"];

let t: V3Fixture;
beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

type Page = { readonly since: string; readonly from: string; readonly rest: Rest };

/** The server as a run of commands sees it, beside the model. */
class Real {
  readonly scene: Scene;
  readonly model: SessionModel;
  /** Every token that was ever given, with what it stands for. */
  readonly tokens = new Map<string, Place>();
  readonly pages: Page[] = [];
  /** Ids of the sessions, as the session list has them. */
  readonly ids: string[] = [];

  constructor(one: Scene) {
    this.scene = one;
    this.model = new SessionModel(one.room, one.me, OTHERS);
  }

  /** Half of the picks are among the newest eighth. */
  token(pick: number): [string, Place] | undefined {
    const all = [...this.tokens];
    return all[all.length - 1 - Math.floor((pick / PICKS) ** 3 * all.length)];
  }

  /** Makes the v2 response of a batch, and has the model know it. */
  response(batch: Batch): Json {
    const { model } = this;
    const messages = Array.from({ length: batch.messages }, (_, index) => toDevice("@x:test", { n: model.messageCount + index + 1 }));
    const response = v2({
      join: {
        [this.scene.room]: {
          timeline: [ev.message("@x:test"), ...batch.members.map((user) => ev.member(user, model.nextMembership(user)))],
          ...(batch.typing && { ephemeral: [typing(...batch.typing)] }),
        },
      },
      to_device: messages,
      account_data: batch.accountData.map((type) => ({ type, content: { text: model.nextText(type) } })),
    });
    model.deliver(batch);
    return response;
  }

  /** Compares an answer with what the model says, and takes its token. */
  check(answer: Answer, since: string | null, expected: Expected): void {
    expect(toldBy(answer)).toEqual(expected.told);
    const known = this.tokens.get(answer.next);
    // I1, I2: a token stands for one thing.
    if (known) expect(expected.next).toEqual(known);
    this.tokens.set(answer.next, expected.next);
    if (expected.rest) this.pages.push({ since: answer.next, from: answer["room_members"].p.next, rest: expected.rest });
    if (since !== null && answer.next === since) expect(expected.next).toEqual(this.tokens.get(since));
  }
}

function toldBy(answer: Answer): Told {
  const { next: _next, ...streams } = answer;
  const told: Record<string, unknown> = {};
  if (streams["typing"]) told["typing"] = typingOf(answer);
  if (streams["to_device"]) {
    const { limit, events } = streams["to_device"];
    told["to_device"] = { limit, messages: events.map((event: { content: { n: number } }) => event.content.n) };
  }
  if (streams["room_members"]) {
    const { p } = streams["room_members"];
    told["room_members"] = { users: membersOf(answer), limit: p.limit, sort: p.sort, more: p.next !== undefined };
  }
  if (streams["account_data"]) {
    told["account_data"] = (streams["account_data"].global ?? []).map((event: { content: { text: string } }) => event.content.text).sort();
  }
  expect(Object.keys(told).sort()).toEqual(Object.keys(streams).sort());
  return told;
}

abstract class Command implements fc.AsyncCommand<SessionModel, Real> {
  check(_model: Readonly<SessionModel>): boolean {
    return true;
  }
  abstract run(model: SessionModel, real: Real): Promise<void>;
  abstract toString(): string;
}

class Deliver extends Command {
  readonly batch: Batch;
  constructor(batch: Batch) {
    super();
    this.batch = batch;
  }
  async run(_model: SessionModel, real: Real): Promise<void> {
    await t.deliver(real.scene.client, real.response(this.batch));
  }
  toString = () => `deliver ${JSON.stringify(this.batch)}`;
}

class Start extends Command {
  readonly body: Body;
  constructor(body: Body) {
    super();
    this.body = body;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const answer = await real.scene.client.sync(inRoom(this.body, model.room));
    real.check(answer, null, model.sync(model.start(), inRoom(this.body, model.room)));
    const list = (await real.scene.client.fetch("GET", SESSIONS)).body["sessions"] as { id: string }[];
    real.ids.push(list.map(({ id }) => id).find((id) => !real.ids.includes(id) && id !== real.ids[0]) ?? "");
  }
  toString = () => `start ${JSON.stringify(this.body)}`;
}

/** With any token ever given, old or new (D10). */
class Sync extends Command {
  readonly pick: number;
  readonly body: Body;
  constructor(pick: number, body: Body) {
    super();
    this.pick = pick;
    this.body = body;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const [since, place] = real.token(this.pick) ?? [];
    if (since === undefined || !place) return;
    const body = inRoom(this.body, model.room);
    const reply = await real.scene.client.request(body, { since });
    if (!model.isAlive(place)) return expect([reply.status, reply.text]).toEqual([400, UNKNOWN_SESSION]);
    expect(reply.status).toBe(200);
    real.check(reply.body, since, model.sync(place, body));
  }
  toString = () => `sync with token ${this.pick} ${JSON.stringify(this.body)}`;
}

/** R18, I5: all further pages of a snapshot. */
class Pages extends Command {
  readonly pick: number;
  readonly limit: number;
  constructor(pick: number, limit: number) {
    super();
    this.pick = pick;
    this.limit = limit;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const page = real.pages[this.pick % real.pages.length];
    const place = page && real.tokens.get(page.since);
    if (!page || !place) return;
    const found: string[] = [];
    for (let from: string | undefined = page.from; from !== undefined; ) {
      const reply = await real.scene.client.request({ room_members: { p: { since: from, limit: this.limit } } }, { since: page.since });
      if (!model.isAlive(place)) return expect([reply.status, reply.text]).toEqual([400, UNKNOWN_SESSION]);
      expect([reply.status, reply.body.next]).toEqual([200, page.since]);
      const users = membersOf(reply.body) ?? [];
      expect(users.length).toBe(Math.min(this.limit, page.rest.members.length - found.length));
      found.push(...users);
      from = reply.body["room_members"].p.next;
    }
    expect(found).toEqual(page.rest.members);
  }
  toString = () => `pages ${this.pick} by ${this.limit}`;
}

/** I9: a caught-up request waits through what does not concern it, and is answered with what does. */
class Wait extends Command {
  readonly pick: number;
  constructor(pick: number) {
    super();
    this.pick = pick;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const [since, place] = real.token(this.pick) ?? [];
    if (since === undefined || !place || !model.isAlive(place)) return;
    const relevant = relevantTo(place);
    if (!relevant || Object.keys(model.answer(place).told).length > 0) return;
    const caughtUp = model.sync(place, {});
    const { answer } = await hang(real.scene.client, {}, { since, timeout: 60_000 });
    await t.deliver(real.scene.client, real.response({ messages: 0, members: [], accountData: [] }));
    await t.deliver(real.scene.client, real.response(relevant(model)));
    real.check(await answer, since, model.answer(caughtUp.next));
  }
  toString = () => `wait with token ${this.pick}`;
}

/** A batch that is news to whoever follows those streams. */
function relevantTo(place: Place): ((model: SessionModel) => Batch) | null {
  const nothing: Batch = { messages: 0, members: [], accountData: [] };
  if (place.params.account_data) return () => ({ ...nothing, accountData: ["t1"] });
  if (place.params.to_device) return () => ({ ...nothing, messages: 1 });
  if (place.params.room_members?.room_id !== undefined) return () => ({ ...nothing, members: ["@x:test"] });
  return null;
}

class Restart extends Command {
  async run(_model: SessionModel, real: Real): Promise<void> {
    await t.restart();
    await t.hs.waitForPoll(real.scene.client.token);
  }
  toString = () => "restart";
}

class End extends Command {
  readonly pick: number;
  readonly how: "delete" | "expire";
  constructor(pick: number, how: "delete" | "expire") {
    super();
    this.pick = pick;
    this.how = how;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const alive = model.sessions.map((_, index) => index).filter((index) => model.sessions[index]?.alive);
    const session = alive[this.pick % alive.length];
    if (session === undefined) return;
    const id = real.ids[session + 1] ?? "";
    if (this.how === "expire") {
      await t.sql`update sessions set used_at = now() - interval '8 days' where session = ${id}`;
      const token = [...real.tokens].find(([, place]) => place.session === session)?.[0];
      if (token !== undefined) expect((await real.scene.client.request({}, { since: token })).text).toBe(UNKNOWN_SESSION);
    }
    // What an expired one held goes when it is cleared away: here at once.
    expect((await real.scene.client.fetch("DELETE", `${SESSIONS}/${id}`)).status).toBe(200);
    model.end(session);
  }
  toString = () => `${this.how} session ${this.pick}`;
}

const ROOM = "(the room)";

/** The commands are made before the room is. */
function inRoom(body: Body, room: string): Body & Json {
  return JSON.parse(JSON.stringify(body).replaceAll(JSON.stringify(ROOM), JSON.stringify(room))) as Body & Json;
}

const limits = fc.integer({ min: 1, max: 3 });
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
const bodies: fc.Arbitrary<Body> = fc.record(
  {
    typing: fc.constantFrom(null, {}, { room_id: ROOM }, { room_id: ROOM }, { room_id: null }),
    to_device: fc.oneof(fc.constant(null), fc.constant({}), limits.map((limit) => ({ limit })), fc.constant({ limit: null })),
    room_members: fc.oneof(
      fc.constant(null),
      fc.constant({}),
      fc.record({ room_id: fc.constant(ROOM), p: fc.record({ limit: limits, sort: fc.constantFrom("by_name", "by_pl") }, { requiredKeys: [] }) }),
      limits.map((limit) => ({ p: { limit } })),
    ),
    account_data: fc.constantFrom(null, {}, {}),
  },
  { requiredKeys: [] },
);
const batches: fc.Arbitrary<Batch> = fc
  .record({
    typing: optional(fc.subarray(["@a:test", "@b:test"])),
    messages: fc.integer({ min: 0, max: 3 }),
    members: fc.subarray(USERS, { maxLength: 3 }),
    accountData: fc.subarray(["t1", "t2"]),
  })
  .map(({ typing: set, ...batch }) => ({ ...batch, ...(set && { typing: set }) }));
const picks = fc.nat({ max: PICKS - 1 });

const commands = [
  bodies.map((body) => new Start(body)),
  batches.map((batch) => new Deliver(batch)),
  batches.map((batch) => new Deliver(batch)),
  fc.tuple(picks, fc.oneof(fc.constant({}), bodies)).map(([pick, body]) => new Sync(pick, body)),
  fc.tuple(picks, fc.oneof(fc.constant({}), bodies)).map(([pick, body]) => new Sync(pick, body)),
  fc.tuple(picks, fc.constant({})).map(([pick, body]) => new Sync(pick, body)),
  fc.tuple(picks, limits).map(([pick, limit]) => new Pages(pick, limit)),
  picks.map((pick) => new Wait(pick)),
  fc.constant(new Restart()),
  fc.tuple(picks, fc.constantFrom("delete" as const, "expire" as const)).map(([pick, how]) => new End(pick, how)),
];

it("I1 I2 I3 I4 I5 I6 I9: whatever sessions do, each answer is what the model says", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 40, size: "max" }), async (sequence) => {
      const real = new Real(scene(t, { others: OTHERS }));
      // The account is known, and its room's members too, before the model begins.
      await real.scene.client.sync({ room_members: { room_id: real.scene.room } });
      const [own] = (await real.scene.client.fetch("GET", SESSIONS)).body["sessions"] as { id: string }[];
      real.ids.push(own?.id ?? "");
      await t.hs.waitForPoll(real.scene.client.token);
      await fc.asyncModelRun(() => ({ model: real.model, real }), sequence);
    }),
    { numRuns: 25 },
  );
});
