import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DeletingSync } from "../support/deleting-sync.ts";
import { toDevice, v2 } from "../support/fake-homeserver.ts";
import type { V3Client } from "../support/v3.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
beforeEach(async () => {
  t = await startV3();
});
afterEach(() => t.stop());

const V2 = "/_matrix/client/v3/sync";
const numbered = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => toDevice("@bob:test", { n: from + i }));
type Told = { readonly content: { readonly n: number } }[];
const numbers = (part: { events?: Told } | undefined): number[] => (part?.events ?? []).map(({ content }) => content.n);

/** A v2 client with its sync loop. */
class OldClient {
  readonly got: number[] = [];
  /** Messages that came with a next_batch that another answer had too: it does not tell which of the two the client received. */
  readonly uncertain = new Set<number>();
  readonly #given = new Set<string | undefined>();
  since: string | undefined;
  readonly #client: V3Client;

  constructor(client: V3Client) {
    this.#client = client;
  }

  async sync(timeout = 0, lost = false): Promise<number[]> {
    const { status, body } = await this.#client.fetch("GET", `${V2}?timeout=${timeout}${this.since === undefined ? "" : `&since=${this.since}`}`);
    if (status !== 200) throw new Error(`v2 sync answered ${status}`);
    const came = numbers(body["to_device"]);
    if (this.#given.has(body["next_batch"])) for (const n of came) this.uncertain.add(n);
    this.#given.add(body["next_batch"]);
    if (lost) return [];
    this.got.push(...came);
    this.since = body["next_batch"];
    return came;
  }
}

it("D1 R1: GET of a device that is not polled is the homeserver's answer, byte for byte, and leaves no trace", async () => {
  const user = t.login("@unpolled:test");
  const text = '{ "next_batch":"x", "to_device" : {"events":[{"a":1.0}]}}';
  t.hs.on("GET", V2, { body: text });
  expect((await user.fetch("GET", V2)).text).toBe(text);
  expect((await user.fetch("GET", `${V2}?since=x&timeout=0`)).text).toBe(text);
  expect(t.hs.polls(user.token).map(({ query }) => query.get("since"))).toEqual([null, "x"]);
  expect(await t.sql`select from accounts`).toHaveLength(0);
});

it("D1: another device's GET is not touched by the polled one", async () => {
  const phone = t.login("@both:test");
  await phone.sync({ to_device: {} });
  await t.hs.waitForPoll(phone.token);
  await t.deliver(phone, v2({ to_device: numbered(1, 2) }));
  const tablet = t.login("@both:test", "TABLET", v2({ to_device: numbered(8, 9) }));
  const answer = await tablet.fetch("GET", V2);
  expect(numbers(answer.body["to_device"])).toEqual([8, 9]);
  expect(numbers((await phone.sync({ to_device: {} }))["to_device"])).toEqual([1, 2]);
});

it("D1: what the poller takes, the v2 client gets; what the v2 client takes, the v3 sessions get", async () => {
  const user = t.login();
  const hs = new DeletingSync(t.hs, user.token);
  const old = new OldClient(user);
  let next = (await user.sync({ to_device: {} })).next;
  await old.sync();

  hs.send(...numbered(1, 2));
  const first = await user.sync({}, { since: next, timeout: 10_000 });
  expect(numbers(first["to_device"])).toEqual([1, 2]);
  expect(await old.sync(10_000), "at once, though the homeserver has nothing any more").toEqual([1, 2]);

  const waiting = user.sync({}, { since: first.next, timeout: 10_000 });
  hs.send(...numbered(3, 3));
  while (!old.got.includes(3)) await old.sync(10_000);
  const second = await waiting;
  expect(numbers(second["to_device"])).toEqual([3]);
  next = second.next;
  expect(Object.keys(await user.sync({}, { since: next }))).toEqual(["next"]);
  expect(await t.sql`select from to_device`, "the v2 client has not acknowledged the last one").toHaveLength(1);
});

it("D1 R9: the v2 client's since acknowledges, as one more session", async () => {
  const user = t.login();
  const hs = new DeletingSync(t.hs, user.token);
  const old = new OldClient(user);
  const first = await user.sync({ to_device: {} });
  await old.sync();
  hs.send(...numbered(1, 1));
  const second = await user.sync({}, { since: first.next, timeout: 10_000 });
  await user.sync({}, { since: second.next });
  expect(numbers((await user.sync({ to_device: {} }))["to_device"]), "kept for the v2 client").toEqual([1]);
  while (!old.got.includes(1)) await old.sync();
  hs.send(...numbered(2, 2));
  while (!old.got.includes(2)) await old.sync(1000);
  await old.sync();
  const { body } = await user.fetch("GET", "/_matrix/client/unstable/syncv3/sessions");
  const held = (body["sessions"] as { kind: string; to_device_held: number }[]).find((session) => session.kind === "v2");
  expect(held?.to_device_held).toBeLessThanOrEqual(1);
});

type Step =
  | { readonly kind: "send"; readonly count: number }
  | { readonly kind: "old"; readonly lost: boolean }
  | { readonly kind: "new"; readonly session: number; readonly limit: number };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("send" as const), count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant("old" as const), lost: fc.boolean() }),
    fc.record({ kind: fc.constant("new" as const), session: fc.nat({ max: 1 }), limit: fc.integer({ min: 1, max: 5 }) }),
  ),
  { minLength: 5, maxLength: 30 },
);

it("D1 R9 S2: a v2 client and v3 sessions of a device all get every message, in order, while the homeserver deletes for each of them", async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const user = t.login(`@run${++runs}:test`);
      const hs = new DeletingSync(t.hs, user.token);
      const old = new OldClient(user);
      const got: [number[], number[]] = [[], []];
      const next = [(await user.sync({ to_device: {} })).next, (await user.sync({ to_device: {} })).next];
      await old.sync(); // It takes part from its first request on.
      let sent = 0;
      const read = async (session: 0 | 1, limit: number, timeout: number) => {
        const answer = await user.sync({ to_device: { limit } }, { since: next[session], timeout });
        got[session].push(...numbers(answer["to_device"]));
        next[session] = answer.next;
      };
      for (const step of all) {
        if (step.kind === "send") hs.send(...numbered(sent + 1, (sent += step.count)));
        else if (step.kind === "old") await old.sync(0, step.lost);
        else await read(step.session === 0 ? 0 : 1, step.limit, 0);
      }
      hs.send(...numbered(sent + 1, ++sent));
      for (const session of [0, 1] as const) while (!got[session].includes(sent)) await read(session, 1000, 10_000);
      while (!old.got.includes(sent)) await old.sync(10_000);
      const full = Array.from({ length: sent }, (_, i) => i + 1);
      expect(got).toEqual([full, full]);
      expect([...new Set(old.got)]).toEqual(full);
      const doubles = old.got.filter((n, i) => old.got.indexOf(n) !== i);
      for (const n of doubles) expect(old.uncertain).toContain(n);
    }),
    { numRuns: 20 },
  );
}, 120_000);
