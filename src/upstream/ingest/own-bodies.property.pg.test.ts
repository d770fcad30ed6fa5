/** Accounts whose homeserver shows them the same events with other bodies: each gets its own, whoever came first and by whatever way (T6). */

import assert from "node:assert/strict";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, type Json, type MatrixEvent, newRoom } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import { allMembersAt } from "../../store/members.ts";
import { readOlder } from "../../store/older.ts";
import { deleteUnreferenced, nextEvents } from "../../store/retention/events.ts";
import { writeTx } from "../../store/db.ts";
import { stateAt, stateEvent } from "../../store/state.ts";
import { readTimelines } from "../../store/timeline.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import { Ingester } from "./ingest.ts";
import { learnMembers } from "./learn-members.ts";
import { storeOlder } from "./store-older.ts";

let db: TestDatabase;
let ingesters: Ingester[];
beforeAll(async () => {
  db = await freshDatabase();
  ingesters = [0, 1].map(() => new Ingester({ sql: db.sql }));
});
afterAll(() => db.drop());

const BOB = "@bob:test";
const ACCOUNTS = 3;
/** How a homeserver shows an event: two texts, an erased sender's nothing, the first text with its members in another order, redacted. */
const SHOWN = ["one", "other", "erased", "one turned", "redacted"] as const;
const EVENTS = ["message", "reply", "topic", "member"] as const;
const WAYS = ["sync", "sync", "full", "fetched"] as const;

type Shown = (typeof SHOWN)[number];
type Step = { readonly event: (typeof EVENTS)[number]; readonly shown: Shown; readonly way: (typeof WAYS)[number] };

/** For each account what it gets; all of them at the same time. */
const group: fc.Arbitrary<(Step | null)[]> = fc.array(
  fc.option(
    fc.record({
      event: fc.constantFrom(...EVENTS),
      shown: fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...SHOWN.slice(0, 4)) }, { weight: 1, arbitrary: fc.constant("redacted" as const) }),
      way: fc.constantFrom(...WAYS),
    }),
    { freq: 5 },
  ),
  { minLength: ACCOUNTS, maxLength: ACCOUNTS },
);

let worlds = 0;

class World {
  readonly room = `!own${(worlds += 1)}:test` as RoomId;
  readonly #accounts: TestAccount[] = [];
  readonly #state = newRoom(BOB).filter((event) => event.type !== "m.room.member");
  readonly #events = { message: ev.message(BOB), reply: ev.message(BOB), topic: ev.topic(BOB, ""), member: ev.member(BOB) };
  readonly #redacted = new Set<string>();
  /** What each account has to see, by event. */
  readonly #seen: Map<(typeof EVENTS)[number], Shown>[] = [];

  async begin(): Promise<void> {
    for (let n = 0; n < ACCOUNTS; n += 1) {
      const name = `@w${worlds}u${n}:test`;
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const account = await TestAccount.create(db.sql, name, ingesters[n % 2]);
      // oxlint-disable-next-line no-await-in-loop -- as above
      await account.step({
        join: { [this.room]: { limited: true, prev_batch: "p", state: [...this.#state, ev.member(name)], timeline: [ev.message(name)] } },
      });
      this.#accounts.push(account);
      this.#seen.push(new Map());
    }
  }

  content(name: (typeof EVENTS)[number], shown: Shown): Json {
    if (name === "member") return { membership: "join", ...(shown.startsWith("o") && { displayname: shown.split(" ")[0] }) };
    return shown.startsWith("o") ? { [name === "topic" ? "topic" : "body"]: shown.split(" ")[0], nested: { of: ["a", shown.split(" ")[0]] } } : {};
  }

  eventOf(name: (typeof EVENTS)[number], shown: Shown): MatrixEvent {
    const content = this.content(name, shown);
    const event: MatrixEvent = { ...this.#events[name], content };
    if (shown === "redacted") return { ...event, unsigned: { redacted_because: ev.redaction(BOB, event.event_id) } };
    return shown === "one turned" ? (Object.fromEntries(Object.entries(event).toReversed()) as MatrixEvent) : event;
  }

  async play(steps: readonly (Step | null)[]): Promise<void> {
    await Promise.all(steps.flatMap((step, n) => (step ? [this.#receive(n, step)] : [])));
    for (const step of steps) if (step?.shown === "redacted") this.#redacted.add(step.event);
    for (const [n, step] of steps.entries()) if (step) this.#seen[n]?.set(step.event, step.shown);
    await Promise.all(this.#accounts.map((_, n) => this.check(n)));
  }

  async #receive(n: number, { event: name, shown, way }: Step): Promise<void> {
    const account = this.#accounts[n];
    const event = this.eventOf(name, shown);
    if (!account) return;
    if (way === "fetched" && name === "member") {
      const memberEventTexts = [JSON.stringify(event)];
      await learnMembers(db, {
        account: account.account,
        roomId: this.room,
        at: (await account.position()) as Position,
        memberEventTexts,
        now: account.now,
      });
    } else if (way === "fetched" && name !== "topic") {
      const [events, state] = [[JSON.stringify(event)], this.#state.map((each) => JSON.stringify(each))];
      await storeOlder(db, { account: account.account, roomId: this.room, events, state, prevBatch: "p", position: 0 as Position, now: account.now });
    } else if (way === "full" && event.state_key !== undefined) {
      await account.step({ join: { [this.room]: { state: [event] } } });
    } else {
      await account.step({ join: { [this.room]: { timeline: [event] } } });
    }
  }

  async check(n: number): Promise<void> {
    const account = this.#accounts[n];
    if (!account) return;
    const at = (await account.position()) as Position;
    const [room, no] = [{ roomId: this.room, at }, account.account];
    const rows = [
      ...((await readTimelines(db.sql, no, [{ roomId: this.room, after: 0, sentSince: null }], { to: at, limit: 100, ignored: [] })).get(this.room)
        ?.events ?? []),
      ...(await readOlder(db.sql, no, this.room, { limit: 100, ignored: [], sentSince: null })).events,
      ...(await stateAt(db.sql, no, [room], "all")),
      ...(await allMembersAt(db.sql, no, [room])),
    ];
    const topic = await stateEvent(db.sql, no, { roomId: this.room, type: "m.room.topic", stateKey: "", at });
    for (const [name, shown] of this.#seen[n] ?? []) {
      const expected = this.content(name, this.#redacted.has(name) ? "redacted" : shown);
      const bodies = rows.filter((row) => row.event_id === this.#events[name].event_id).map((row) => row.body);
      if (name === "topic" && topic) bodies.push(topic.body);
      assert.ok(bodies.length > 0, `${name} is stored`);
      for (const body of bodies) assert.deepEqual((JSON.parse(body) as MatrixEvent).content, expected, `account ${n}: ${name}`);
    }
  }

  /** The own copies of each account, by event. */
  async copies(): Promise<number> {
    const [row] = await db.sql<{ copies: number }[]>`select count(*)::integer as copies from own_events where room_id = ${this.room}`;
    return row?.copies ?? -1;
  }

  /** At most as many as accounts see events otherwise than somebody else; none of redacted events. */
  most(): number {
    return this.#seen.flatMap((seen) => [...seen.keys()].filter((name) => !this.#redacted.has(name))).length;
  }
}

async function cleanUp(): Promise<void> {
  await writeTx(db.sql, async (tx) => deleteUnreferenced(tx, await nextEvents(tx, "", 1_000_000)));
}

test("T6 I7: accounts that get events with other bodies at the same time, again, redacted, or fetched each see their own", async () => {
  let copies = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(group, { minLength: 1, maxLength: 8 }), async (groups) => {
      const world = new World();
      await world.begin();
      // oxlint-disable-next-line no-await-in-loop -- each group depends on those before
      for (const steps of groups) await world.play(steps);
      await cleanUp();
      await Promise.all(Array.from({ length: ACCOUNTS }, (_, n) => world.check(n)));
      const own = await world.copies();
      assert.ok(own <= world.most(), `${own} own copies`);
      copies += own;
    }),
    { numRuns: 60 },
  );
  // Otherwise the test would prove nothing.
  expect(copies).toBeGreaterThan(20);
}, 240_000);
