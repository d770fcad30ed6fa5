/**
 * D1 as a model: a homeserver that deletes to-device messages as anybody advances `since`, our poller, and a v2 client whose
 * answers we pass, in every order of their steps, with answers lost on the way to the client.
 */

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { writeTx } from "../store/db.ts";
import { passAnswer, startPass } from "../store/passed-answers.ts";
import type { PassStart } from "../wire/passed-answer.ts";
import { readToDevice } from "../store/to-device.ts";
import { Ingester } from "../upstream/ingest/ingest.ts";
import type { AccountNo, DeviceNo, UserId } from "../wire/ids.ts";

let db: TestDatabase;
let users = 0;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

type Step = "message" | "poll" | "ingest" | "start" | "answer" | "deliver" | "lose";

class World {
  readonly sent: string[] = [];
  readonly received: string[] = [];
  lost = 0;
  #upstream: { pos: number; body: string }[] = [];
  #pos = 1;
  #poll: { since: string; text: string } | null = null;
  #start: PassStart | null = null;
  #answer: { nextBatch: string; messages: string[] } | null = null;
  #since = "0";
  #pollSince = "0";
  readonly #user: UserId;
  readonly #account: AccountNo;
  readonly #device: DeviceNo;
  /** The homeserver is idle but for our messages: a token may come twice. Not for ever: then only the first `limit` are sent, again and again. */
  #idle: boolean;

  constructor(user: UserId, account: AccountNo, device: DeviceNo, idle: boolean) {
    this.#user = user;
    this.#account = account;
    this.#device = device;
    this.#idle = idle;
  }

  static async make(idle: boolean): Promise<World> {
    users += 1;
    const user = `@u${users}:test` as UserId;
    const [account] = await db.sql<
      { account: AccountNo }[]
    >`insert into accounts (user_id, since, complete) values (${user}, '0', true) returning account`;
    const [device] = await db.sql<
      { device: DeviceNo }[]
    >`insert into devices (account, device_id, since) values (${account?.account ?? 0}, 'D', '0') returning device`;
    if (!account || !device) throw new Error("no rows");
    // A v3 session that never acknowledges: whatever was queued stays to be counted.
    await db.sql`insert into sessions (account, device, kind, takes_part) values (${account.account}, ${device.device}, 'v3', true)`;
    return new World(user, account.account, device.device, idle);
  }

  /** What can happen now. */
  possible(): Step[] {
    const poller: Step = this.#poll ? "ingest" : "poll";
    if (!this.#start) return ["message", poller, "start"];
    return this.#answer ? ["message", poller, "deliver", "lose"] : ["message", poller, "answer"];
  }

  async step(step: Step): Promise<void> {
    switch (step) {
      case "message": {
        const body = `{"n":${this.sent.length}}`;
        this.sent.push(body);
        this.#upstream.push({ pos: ++this.#pos, body });
        return;
      }
      case "poll":
        if (this.#poll) return;
        this.#poll = { since: this.#pollSince, text: this.#textOf(this.#sync(this.#pollSince)) };
        return;
      case "ingest": {
        if (!this.#poll) return;
        const { since, text } = this.#poll;
        this.#poll = null;
        const result = await new Ingester({ sql: db.sql }).ingest({
          account: this.#account,
          device: this.#device,
          userId: this.#user,
          epoch: null,
          rooms: false,
          accountSince: null,
          deviceSince: since,
          overlap: false,
          text,
          now: Date.now(),
        });
        if (result.kind !== "stored") throw new Error(`ingest: ${result.kind}`);
        this.#pollSince = result.nextBatch;
        return;
      }
      case "start":
        this.#start ??= await startPass(db.sql, this.#account, this.#device, this.#since);
        return;
      case "answer":
        if (this.#start && !this.#answer) {
          if (!this.#idle) this.#pos += 1;
          this.#answer = this.#sync(this.#since);
        }
        return;
      case "deliver":
      case "lose": {
        if (!this.#start || !this.#answer) return;
        const input = { account: this.#account, device: this.#device, start: this.#start, since: this.#since, limit: 3, ...this.#answer };
        const passed = await writeTx(db.sql, (tx) => passAnswer(tx, input));
        if (step === "deliver") {
          this.received.push(...(passed?.bodies ?? []));
          this.#since = this.#answer.nextBatch;
        } else this.lost += 1;
        this.#start = null;
        this.#answer = null;
      }
    }
  }

  /** Until nobody has anything left to do. */
  async settle(): Promise<void> {
    this.#idle = false;
    for (let i = 0; i < 4 + this.sent.length; i++) {
      for (const step of ["poll", "ingest", "start", "answer", "deliver"] as const) await this.step(step);
    }
  }

  async queued(): Promise<string[]> {
    return (await readToDevice(db.sql, this.#device, 0, 1000)).map(({ body }) => body);
  }

  #sync(since: string): { nextBatch: string; messages: string[] } {
    this.#upstream = this.#upstream.filter(({ pos }) => pos > Number(since));
    return { nextBatch: String(this.#pos), messages: this.#upstream.map(({ body }) => body) };
  }

  #textOf({ nextBatch, messages }: { nextBatch: string; messages: string[] }): string {
    return `{"next_batch":"${nextBatch}","to_device":{"events":[${messages.join(",")}]}}`;
  }
}

/** Orders that chance seldom finds, as choices among what is possible. */
const RARE: [number[], boolean][] = [
  // The poller queues a message after our answer was made and before it is delivered; the client's next answer holds it too.
  [[2, 2, 0, 1, 1, 2, 2, 2, 2], false],
  // The poller takes a message, and its copy upstream, between our look at the queue and the answer; the next one, whose token is
  // the one it was asked with, is lost.
  [[2, 0, 1, 1, 1, 2, 2, 2, 3], true],
];

test("D1: neither reader takes a message away from the other, and no message is queued twice or out of order", { timeout: 600_000 }, async () => {
  const runs = fc.array(fc.nat(11), { minLength: 10, maxLength: 60, size: "max" });
  await fc.assert(
    fc.asyncProperty(runs, fc.boolean(), async (choices, idle) => {
      const world = await World.make(idle);
      for (const choice of choices) {
        const possible = world.possible();
        await world.step(possible[choice % possible.length] ?? "message");
      }
      await world.settle();
      expect(await world.queued(), "the queue").toEqual(world.sent);
      expect(
        world.sent.filter((body) => !world.received.includes(body)),
        "not received by the v2 client",
      ).toEqual([]);
      if (!idle) expect(world.received, "the v2 client, which uses the tokens it got").toEqual(world.sent);
    }),
    { numRuns: 80, examples: RARE },
  );
});
