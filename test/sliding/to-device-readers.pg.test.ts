/** Connections beside v3 sessions and v2 clients of the same device: each gets every message (S2). */

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeletingSync } from "../support/deleting-sync.ts";
import { type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { carry, held, messagesOf, numbered, SESSIONS } from "../support/to-device.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
beforeEach(async () => {
  t = await startV3();
});
afterEach(() => t.stop());

type Section = { readonly next_batch: string; readonly events: readonly { readonly content: { readonly n: number } }[] };
const queueOf = (answer: Answer): Section => answer.extensions["to_device"] as Section;
const asking = (since?: string, more: Json = {}): Ask => ({ ext: { to_device: { enabled: true, ...(since !== undefined && { since }), ...more } } });
const stored = async () => (await t.sql`select from to_device`).length;

/** A client that asks with the position and since that it has, and stores what it gets. */
class Reader {
  readonly got: number[] = [];
  since: string | undefined;
  readonly #phone: SlidingClient;

  constructor(client: V3Client, dialect: DialectName) {
    this.#phone = new SlidingClient(client, dialect);
  }

  async sync({ timeout = 0, limit = 100, lost = false, connId = "test", fresh = true }): Promise<void> {
    const pos = fresh ? undefined : (await this.#phone.sync({ connId })).pos;
    const queue = queueOf(await this.#phone.sync({ ...asking(this.since, { limit }), connId }, { pos, timeout }));
    if (lost) return;
    this.got.push(...queue.events.map(({ content }) => content.n));
    this.since = queue.next_batch;
  }
}

/** A v2 client with its sync loop. */
class OldReader {
  readonly got = new Set<number>();
  since = "";
  readonly #client: V3Client;

  constructor(client: V3Client) {
    this.#client = client;
  }

  async sync(timeout = 0, lost = false): Promise<void> {
    const { body } = await this.#client.fetch("GET", `/_matrix/client/v3/sync?timeout=${timeout}${this.since === "" ? "" : `&since=${this.since}`}`);
    if (lost) return;
    for (const { content } of (body["to_device"]?.events ?? []) as Section["events"]) this.got.add(content.n);
    this.since = body["next_batch"] as string;
  }
}

describe.each(DIALECTS)("readers of a queue (%s)", (dialect) => {
  it("M47 S2: a v3 session and the device's connections both get each message, and the slower one holds it", async () => {
    const alice = t.login("@alice:test");
    const phone = new SlidingClient(alice, dialect);
    await phone.sync(asking());
    const session = await alice.sync({ to_device: {} });
    await t.deliver(alice, carry(...numbered(1, 2)));
    const sliding = queueOf(await phone.sync(asking()));
    await phone.sync(asking(sliding.next_batch));
    expect(await stored(), "the session lacks them").toBe(2);
    const then = await alice.sync({}, { since: session.next });
    expect(messagesOf(then)).toEqual(numbered(1, 2));
    await alice.sync({}, { since: then.next });
    expect(await stored()).toBe(0);
    await t.deliver(alice, carry(...numbered(3, 3)));
    const later = await alice.sync({}, { since: then.next });
    await alice.sync({}, { since: later.next });
    expect(await stored(), "the connections lack it").toBe(1);
    const last = queueOf(await phone.sync(asking(sliding.next_batch)));
    expect(last.events).toEqual(numbered(3, 3));
    await phone.sync(asking(last.next_batch));
    expect(await stored()).toBe(0);
  });

  it("M47 S2: all connections of a device count as one participant", async () => {
    const alice = t.login("@alice:test");
    const phone = new SlidingClient(alice, dialect);
    for (const connId of ["a", "b", "c"]) await phone.sync({ ...asking(), connId });
    await t.deliver(alice, carry(...numbered(1, 2)));
    expect((await held(alice)).filter((count) => count > 0)).toEqual([2]);
    const { next_batch } = queueOf(await phone.sync({ ...asking(), connId: "a" }));
    await phone.sync({ ...asking(next_batch), connId: "b" });
    expect(await held(alice)).not.toContain(2);
    expect(await stored()).toBe(0);
  });

  it("M47 S2: connections that never asked for messages neither hold nor acknowledge them", async () => {
    const alice = t.login("@alice:test");
    const phone = new SlidingClient(alice, dialect);
    const { pos } = await phone.sync({ ext: { e2ee: { enabled: true } } });
    const session = await alice.sync({ to_device: {} });
    await t.deliver(alice, carry(...numbered(1, 2)));
    await phone.sync({ ext: { e2ee: { enabled: true } } }, { pos });
    const then = await alice.sync({}, { since: session.next });
    await alice.sync({}, { since: then.next });
    expect(await stored()).toBe(0);
  });

  it("M47 S2: connections that come later get all that is still stored", async () => {
    const alice = t.login("@alice:test");
    const session = await alice.sync({ to_device: {} });
    await t.deliver(alice, carry(...numbered(1, 2)));
    const phone = new SlidingClient(alice, dialect);
    expect(queueOf(await phone.sync(asking())).events).toEqual(numbered(1, 2));
    expect(messagesOf(await alice.sync({}, { since: session.next }))).toEqual(numbered(1, 2));
  });

  it("M47 S2 M6: messages that only idle connections held are deleted with them", async () => {
    const alice = t.login("@alice:test");
    const phone = new SlidingClient(alice, dialect);
    await phone.sync(asking());
    const session = await alice.sync({ to_device: {} });
    await t.deliver(alice, carry(...numbered(1, 2)));
    const then = await alice.sync({}, { since: session.next });
    await alice.sync({}, { since: then.next });
    expect(await stored()).toBe(2);
    const { body } = await alice.fetch("GET", SESSIONS);
    const holding = (body["sessions"] as { id: string; kind: string; to_device_held: number }[]).find((one) => one.to_device_held === 2);
    expect(holding?.kind).toBe("sliding");
    expect((await alice.fetch("DELETE", `${SESSIONS}/${holding?.id}`)).status).toBe(200);
    expect(await stored()).toBe(0);
  });

  it("M47 S2: a new connection continues at the device's since after all positions are lost", async () => {
    const alice = t.login("@alice:test");
    const phone = new SlidingClient(alice, dialect);
    await phone.sync(asking());
    await t.deliver(alice, carry(...numbered(1, 3)));
    const first = queueOf(await phone.sync(asking(undefined, { limit: 2 })));
    await t.sql`delete from sessions where kind = 'connection'`;
    await t.restart();
    expect(queueOf(await phone.sync(asking(first.next_batch))).events).toEqual(numbered(3, 3));
  });

  it("M47 S2 D26: when all sessions and positions end at once, connections still lack what they lacked", async () => {
    const alice = t.login("@alice:test");
    const phone = new SlidingClient(alice, dialect);
    const place = queueOf(await phone.sync(asking())).next_batch;
    const { next } = await alice.sync({ to_device: {} });
    await t.deliver(alice, carry(...numbered(1, 2)), v2({ join: { "!r:test": { state: newRoom(alice.userId) } } }));
    const ahead = await alice.sync({}, { since: next });
    await t.sql`update accounts set position = position - 1`;
    expect((await alice.request({}, { since: ahead.next })).status).toBe(400);
    const anew = await alice.sync({ to_device: {} });
    await alice.sync({}, { since: anew.next });
    expect(queueOf(await phone.sync(asking(place))).events).toEqual(numbered(1, 2));
  });

  it("M47 D1: what the poller takes, the v2 client gets; what the v2 client takes, connections get", async () => {
    const alice = t.login("@alice:test");
    const hs = new DeletingSync(t.hs, alice.token);
    const [old, now] = [new OldReader(alice), new Reader(alice, dialect)];
    await now.sync({});
    await old.sync();
    hs.send(...numbered(1, 2));
    while (!old.got.has(2)) await old.sync(10_000);
    while (!now.got.includes(2)) await now.sync({ timeout: 10_000, fresh: false });
    hs.send(...numbered(3, 3));
    while (!old.got.has(3)) await old.sync(10_000);
    while (!now.got.includes(3)) await now.sync({ timeout: 10_000, fresh: false });
    expect([now.got, [...old.got]]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  type Step =
    | { readonly kind: "send"; readonly count: number }
    | { readonly kind: "old" | "restart"; readonly lost: boolean }
    | { readonly kind: "sliding"; readonly lost: boolean; readonly limit: number; readonly connId: string }
    | { readonly kind: "session"; readonly limit: number };
  const steps: fc.Arbitrary<Step[]> = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), count: fc.integer({ min: 1, max: 4 }) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("old" as const), lost: fc.boolean() }) },
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant("sliding" as const),
          lost: fc.boolean(),
          limit: fc.integer({ min: 1, max: 5 }),
          connId: fc.constantFrom("a", "b"),
        }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("session" as const), limit: fc.integer({ min: 1, max: 5 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), lost: fc.constant(false) }) },
    ),
    { minLength: 5, maxLength: 25 },
  );

  it("M47 M46 S2 D1: connections, a v3 session and a v2 client all get every message, in order, over restarts and lost answers", async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const alice = t.login(`@run${++runs}:test`);
        const hs = new DeletingSync(t.hs, alice.token);
        const [old, now] = [new OldReader(alice), new Reader(alice, dialect)];
        await now.sync({});
        let { next } = await alice.sync({ to_device: {} });
        await old.sync();
        const seen: number[] = [];
        let sent = 0;
        const session = async (limit: number, timeout: number) => {
          const answer = await alice.sync({ to_device: { limit } }, { since: next, timeout });
          seen.push(...((answer["to_device"]?.events ?? []) as Section["events"]).map(({ content }) => content.n));
          ({ next } = answer);
        };
        for (const step of all) {
          if (step.kind === "send") hs.send(...numbered(sent + 1, (sent += step.count)));
          else if (step.kind === "old") await old.sync(0, step.lost);
          else if (step.kind === "sliding") await now.sync(step);
          else if (step.kind === "session") await session(step.limit, 0);
          else await t.restart();
        }
        hs.send(...numbered(sent + 1, ++sent));
        while (!now.got.includes(sent)) await now.sync({ timeout: 10_000, fresh: false });
        while (!seen.includes(sent)) await session(1000, 10_000);
        while (!old.got.has(sent)) await old.sync(10_000);
        const whole = Array.from({ length: sent }, (_, i) => i + 1);
        expect([now.got, seen, [...old.got]]).toEqual([whole, whole, whole]);
      }),
      { numRuns: 12 },
    );
  }, 120_000);
});
