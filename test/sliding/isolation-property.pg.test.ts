/** What belongs to one account, device or connection is never sent to another, whatever is asked in whatever order. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { scene } from "../support/scene.ts";
import { newsOf, SHORT, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

const DEVICES = ["PHONE", "TABLET"] as const;
const CONNECTIONS = ["a", "b", null] as const;
const ASKS = ["list", "own room", "other's room", "shared room", "nothing"] as const;
const NEWS = ["message", "state", "account data", "private receipt", "to-device", "invite", "shared", "typing"] as const;

type Step =
  | { readonly kind: "news"; readonly user: number; readonly device: number; readonly what: (typeof NEWS)[number] }
  | {
      readonly kind: "sync";
      readonly user: number;
      readonly device: number;
      readonly conn: number;
      /** Which of the positions so far, anybody's if it is stolen; null: none. */
      readonly pos: number | null;
      readonly stolen: boolean;
      readonly ask: (typeof ASKS)[number];
    };
const bit = fc.nat({ max: 1 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("news" as const), user: bit, device: bit, what: fc.constantFrom(...NEWS) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("sync" as const),
        user: bit,
        device: bit,
        conn: fc.nat({ max: 2 }),
        pos: fc.option(fc.nat({ max: 30 }), { freq: 4 }),
        stolen: fc.boolean(),
        ask: fc.constantFrom(...ASKS),
      }),
    },
  ),
  { minLength: 10, maxLength: 40 },
);

type Issued = { readonly user: number; readonly device: number; readonly conn: number; readonly pos: string };

let worlds = 0;

/** Two users in a shared room, each also in a room of their own, with two devices each. */
class World {
  readonly #dialect: DialectName;
  readonly #number = ++worlds;
  readonly #clients: V3Client[][] = [];
  readonly #issued: Issued[] = [];
  #marks = 0;
  /** How many own secrets were sent, and how many stolen positions were refused. */
  readonly seen = { secrets: 0, thefts: 0 };

  constructor(dialect: DialectName) {
    this.#dialect = dialect;
  }

  static async make(dialect: DialectName): Promise<World> {
    const world = new World(dialect);
    for (const user of [0, 1]) {
      const first = v2({
        join: {
          [world.own(user)]: { state: [...newRoom(world.me(user)), ev.name(world.me(user), world.mark(user, "name"))] },
          [world.shared]: { state: [...newRoom(world.me(0)), ev.member(world.me(1))] },
        },
      });
      const clients = DEVICES.map((device, index) => t.login(world.me(user), device, index === 0 ? first : v2()));
      for (const client of clients) {
        // oxlint-disable-next-line no-await-in-loop -- the first device's poller is the one that brings rooms
        await new SlidingClient(client, dialect).sync({ connId: "setup" });
        // oxlint-disable-next-line no-await-in-loop -- as above
        await t.hs.waitForPoll(client.token);
      }
      world.#clients.push(clients);
    }
    return world;
  }

  me = (user: number) => `@w${this.#number}u${user}:test`;
  own = (user: number) => `!w${this.#number}own${user}:test`;
  get shared() {
    return `!w${this.#number}shared:test`;
  }

  /** A word that only this user, or this device, may read. */
  mark(user: number, of: string): string {
    this.#marks += 1;
    return `secret-of-${user}-${of}-${this.#marks}`;
  }

  async news(user: number, device: number, what: (typeof NEWS)[number]): Promise<void> {
    const me = this.me(user);
    const secret = { secret: this.mark(user, "all") };
    const parts = (room: string, of: Json) => v2({ join: { [room]: of } });
    const responses: Record<(typeof NEWS)[number], () => Json> = {
      message: () => parts(this.own(user), { timeline: [ev.event("m.room.message", me, secret)] }),
      state: () => parts(this.own(user), { timeline: [ev.state("m.room.topic", "", me, secret)] }),
      "account data": () =>
        v2({ account_data: [{ type: "x", content: secret }], join: { [this.shared]: { account_data: [{ type: "y", content: secret }] } } }),
      "private receipt": () => parts(this.shared, { ephemeral: [receipt("$x", me, "m.read.private", secret)] }),
      "to-device": () => v2({ to_device: [toDevice("@x:test", { secret: this.mark(user, DEVICES[device] ?? "") })] }),
      invite: () =>
        v2({
          invite: { [`!${secret.secret}:test`]: [{ type: "m.room.member", state_key: me, sender: "@x:test", content: { membership: "invite" } }] },
        }),
      shared: () => parts(this.shared, { timeline: [{ ...ev.message(me), unsigned: { transaction_id: this.mark(user, "PHONE") } }] }),
      typing: () => parts(this.own(user), { ephemeral: [typing(`@${secret.secret}:test`)] }),
    };
    const client = this.#clients[user]?.[what === "to-device" ? device : 0];
    if (client) await t.deliver(client, responses[what]());
  }

  async sync({ user, device, conn, pos, stolen, ask }: Step & { kind: "sync" }): Promise<void> {
    const client = this.#clients[user]?.[device];
    if (!client) return;
    const isMine = (one: Issued) => one.user === user && one.device === device && one.conn === conn;
    const choice = stolen ? this.#issued : this.#issued.filter(isMine);
    const used = pos === null ? undefined : choice[pos % Math.max(1, choice.length)];
    const connId = CONNECTIONS[conn] ?? null;
    const reply = await new SlidingClient(client, this.#dialect).request({ ...this.#ask(user, ask), connId }, { pos: used?.pos });
    if ((used && !isMine(used)) || reply.status !== 200) {
      if (used && !isMine(used)) this.seen.thefts += 1;
      assert.deepEqual([reply.status, reply.body], [400, UNKNOWN_POS]);
      assert.ok(used, "without a position there is an answer");
      return;
    }
    this.#issued.push({ user, device, conn, pos: reply.body["pos"] as string });
    for (const [, whose, of] of reply.text.matchAll(/secret-of-(\d)-(\w+)-\d/g)) {
      this.seen.secrets += 1;
      assert.equal(Number(whose), user, "another user's");
      if (of === "PHONE" || of === "TABLET") assert.equal(of, DEVICES[device], "another device's");
    }
    assert.ok(!reply.text.includes(this.own(1 - user)), "another user's room");
  }

  #ask(user: number, ask: (typeof ASKS)[number]): Ask {
    const config = { limit: 10, state: [["*", "*"]] as const };
    const ext = Object.fromEntries(["to_device", "e2ee", "account_data", "receipts", "typing"].map((name) => [name, { enabled: true }]));
    const subs = { "own room": this.own(user), "other's room": this.own(1 - user), "shared room": this.shared };
    if (ask === "nothing") return {};
    return { ext, ...(ask === "list" ? { lists: { all: { ranges: [[0, 9]], ...config } } } : { subs: { [subs[ask]]: config } }) };
  }
}

describe.each(DIALECTS)("isolation (%s)", (dialect) => {
  it("M62 M1 M19: two users with two devices and three connections each: no user receives data of the other", async () => {
    const seen = { secrets: 0, thefts: 0 };
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const world = await World.make(dialect);
        // In order: each step depends on those before.
        // oxlint-disable-next-line no-await-in-loop
        for (const step of all) await (step.kind === "news" ? world.news(step.user, step.device, step.what) : world.sync(step));
        seen.secrets += world.seen.secrets;
        seen.thefts += world.seen.thefts;
      }),
      { numRuns: 15 },
    );
    // Otherwise the test would prove nothing.
    expect([seen.secrets > 50, seen.thefts > 10]).toEqual([true, true]);
  }, 120_000);

  it("M62 M19 M45: a subscription to somebody else's room, and extensions that name it, bring nothing of it and end no wait", async () => {
    const [mine, theirs] = [scene(t), scene(t, { timeline: [ev.message("@bob:test", "secret")] })];
    await new SlidingClient(theirs.client, dialect).sync();
    const phone = new SlidingClient(mine.client, dialect);
    const scope = { enabled: true, rooms: [theirs.room], lists: [] };
    const ask = {
      subs: { [theirs.room]: { limit: 10, state: [["*", "*"]] as const } },
      ext: { typing: scope, receipts: scope, account_data: scope },
    };
    const first = await phone.sync(ask);
    expect(newsOf(first)).toEqual({});
    const waiting = phone.sync(ask, { pos: first.pos, timeout: SHORT });
    await theirs.deliver({ timeline: [ev.message("@bob:test", "secret")], ephemeral: [typing("@bob:test"), receipt("$x", "@bob:test")] });
    expect(newsOf(await waiting)).toEqual({});
  });
});
