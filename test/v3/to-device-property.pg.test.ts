import assert from "node:assert/strict";
import fc from "fast-check";
import { expect, it } from "vitest";
import { toDevice, v2 } from "../support/fake-homeserver.ts";
import type { Answer, V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

/** What happens to a device and its sessions. `lost`: the client never received the answer, and asks again with the token that it has. */
type Step =
  | { readonly kind: "deliver"; readonly counts: readonly number[] }
  | { readonly kind: "sync"; readonly session: number; readonly limit: number; readonly lost: boolean }
  | { readonly kind: "old"; readonly session: number }
  | { readonly kind: "drop" | "end"; readonly session: number }
  | { readonly kind: "start"; readonly limit: number }
  | { readonly kind: "restart" };

const session = fc.nat({ max: 2 });
const limit = fc.integer({ min: 1, max: 6 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant("deliver" as const), counts: fc.array(fc.nat({ max: 7 }), { minLength: 1, maxLength: 3 }) }),
    },
    { weight: 12, arbitrary: fc.record({ kind: fc.constant("sync" as const), session, limit, lost: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("old" as const), session }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("drop" as const, "end" as const), session }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("start" as const), limit }) },
    { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  ),
  { minLength: 5, maxLength: 40 },
);

/** A session as the contract describes it. Cursors are numbers of messages: `place` of them were sent up to `token`, `acked` acknowledged. */
type Model = { id: string; token: string; place: number; old: { token: string; place: number } | null; acked: number; takesPart: boolean };

class Run {
  readonly client: V3Client;
  readonly sessions: (Model | undefined)[] = [];
  sent = 0;
  purged = 0;

  constructor(client: V3Client) {
    this.client = client;
  }

  /** The numbers of the messages in an answer. */
  told(answer: Answer): number[] {
    return ((answer["to_device"]?.events ?? []) as { content: { n: number } }[]).map(({ content }) => content.n);
  }

  /** What a session at `place` must be sent: the next messages that are still stored. */
  due(place: number, most: number): number[] {
    const from = Math.max(place, this.purged);
    return Array.from({ length: Math.min(most, this.sent - from) }, (_, i) => from + i + 1);
  }

  purge(): void {
    const present = this.sessions.filter((one) => one !== undefined);
    const partners = present.filter((one) => one.takesPart);
    const reached = partners.length > 0 ? Math.min(...partners.map((one) => one.acked)) : Math.max(0, ...present.map((one) => one.acked));
    this.purged = Math.max(this.purged, reached);
  }

  acknowledge(model: Model, place: number): void {
    const before = model.acked;
    model.acked = Math.max(before, place);
    if (model.acked > before) this.purge();
  }

  async list(): Promise<string[]> {
    const { body } = await this.client.fetch("GET", "/_matrix/client/unstable/syncv3/sessions");
    return (body["sessions"] as { id: string }[]).map((one) => one.id);
  }

  async start(most: number): Promise<void> {
    const free = [0, 1, 2].find((index) => this.sessions[index] === undefined);
    if (free === undefined) return;
    const known = new Set(this.sessions.map((one) => one?.id));
    const answer = await this.client.sync({ to_device: { limit: most } });
    assert.deepEqual(this.told(answer), this.due(0, most));
    const id = (await this.list()).find((one) => !known.has(one)) ?? "";
    this.sessions[free] = { id, token: answer.next, place: this.placeAfter(answer, most, 0), old: null, acked: 0, takesPart: true };
  }

  /** Fewer than the limit: the cursor is at the head. */
  placeAfter(answer: Answer, most: number, from: number): number {
    const told = this.told(answer);
    return told.length < most ? this.sent : (told.at(-1) ?? from);
  }

  async sync(model: Model, most: number, lost: boolean): Promise<void> {
    const answer = await this.client.sync({ to_device: { limit: most } }, { since: model.token });
    model.takesPart = true;
    this.acknowledge(model, model.place);
    assert.deepEqual(this.told(answer), this.due(model.place, most), "oldest first, nothing lost, doubles only of what was not acknowledged");
    if (lost) return;
    model.old = { token: model.token, place: model.place };
    model.place = this.placeAfter(answer, most, model.place);
    model.token = answer.next;
  }

  async again(model: Model): Promise<void> {
    if (!model.old || !model.takesPart) return;
    const answer = await this.client.sync({ to_device: { limit: 1000 } }, { since: model.old.token });
    assert.deepEqual(this.told(answer), this.due(model.old.place, 1000), "an older token: all after it, less what is purged");
  }

  async drop(model: Model): Promise<void> {
    if (!model.takesPart) return;
    const answer = await this.client.sync({ to_device: null }, { since: model.token });
    model.acked = Math.max(model.acked, model.place);
    model.takesPart = false;
    model.token = answer.next;
    model.old = null;
    this.purge();
  }

  async end(index: number, model: Model): Promise<void> {
    const reply = await this.client.fetch("DELETE", `/_matrix/client/unstable/syncv3/sessions/${model.id}`);
    assert.equal(reply.status, 200);
    this.purge();
    this.sessions[index] = undefined;
    if (this.sessions.some((one) => one !== undefined)) this.purge();
  }

  async step(step: Step): Promise<void> {
    const model = "session" in step ? this.sessions[step.session] : undefined;
    switch (step.kind) {
      case "deliver": {
        const responses = step.counts.map((count) =>
          v2({ to_device: Array.from({ length: count }, () => toDevice("@bob:test", { n: ++this.sent })) }),
        );
        return t.deliver(this.client, ...responses);
      }
      case "restart": {
        await t.restart();
        return void (await t.hs.waitForPoll(this.client.token));
      }
      case "start":
        return this.start(step.limit);
      case "sync":
        return model && this.sync(model, step.limit, step.lost);
      case "old":
        return model && this.again(model);
      case "drop":
        return model && this.drop(model);
      case "end":
        return model && this.end(step.session, model);
    }
  }
}

let runs = 0;

it("R9 S2 I2 I3 I4 D10 D22: whatever sessions do, nothing is lost, in order, sent twice only unacknowledged, and purged when all have it", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const client = t.login(`@p${++runs}:test`);
      const run = new Run(client);
      await run.start(3);
      await t.hs.waitForPoll(client.token);
      for (const step of all) await run.step(step);
      // At the end all sessions catch up and everything is purged: a new session finds nothing.
      for (const model of run.sessions) {
        if (!model) continue;
        await run.sync(model, 1000, false);
        await run.sync(model, 1000, false);
      }
      const last = await client.sync({ to_device: { limit: 1000 } });
      expect(run.told(last)).toEqual(run.due(0, 1000));
      if (run.sessions.some((one) => one)) expect(run.told(last)).toEqual([]);
    }),
    { numRuns: 15 },
  );
}, 120_000);
