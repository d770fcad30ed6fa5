/** What is bundled with events, whatever relates to what, is redacted or ignored: as a homeserver with all of it would have it (T7). */

import assert from "node:assert/strict";
import fc from "fast-check";
import { afterAll, beforeAll, test } from "vitest";

import { type BundledById, bundledIn } from "../../test/support/bundles.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, type Json, type MatrixEvent, newRoom } from "../../test/support/events.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import { Ingester } from "../upstream/ingest/ingest.ts";
import { storeBundle } from "../upstream/ingest/store-bundle.ts";
import type { DeviceNo, Position, RoomId, UserId } from "../wire/ids.ts";
import { type RoomEvent, withBundles } from "./bundles.ts";
import { rowTextInRoom } from "./event-row.ts";
import { readTimelines } from "./timeline.ts";

let db: TestDatabase;
let ingester: Ingester;
beforeAll(async () => {
  db = await freshDatabase();
  ingester = new Ingester({ sql: db.sql });
});
afterAll(() => db.drop());

const OTHERS = ["@bob:test", "@eve:test"] as const;
const RELATIONS = [null, "m.replace", "m.thread", "m.reference"] as const;

type NewEvent = { readonly kind: "event"; readonly by: number; readonly relation: (typeof RELATIONS)[number]; readonly to: number };
type Step =
  | NewEvent
  | { readonly kind: "redact"; readonly to: number }
  | { readonly kind: "ignore"; readonly account: number; readonly whom: number };

const newEvent: fc.Arbitrary<NewEvent> = fc.record({
  kind: fc.constant("event" as const),
  by: fc.nat({ max: 2 }),
  relation: fc.constantFrom(...RELATIONS),
  to: fc.nat({ max: 9 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: newEvent },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("redact" as const), to: fc.nat({ max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("ignore" as const), account: fc.nat({ max: 1 }), whom: fc.nat({ max: 1 }) }) },
);
/** `hidden`: the homeserver has it, and v2 never shows it. */
const before = fc.array(fc.record({ event: newEvent, hidden: fc.boolean() }), { minLength: 1, maxLength: 8 });

type Known = { readonly event: MatrixEvent; readonly relation: string | null; readonly to: string | null; redacted: boolean };
type Reader = { readonly me: string; readonly ignored: ReadonlySet<string> };

/** A homeserver's events of a room. */
class Model {
  readonly all: Known[] = [];

  add({ relation, to }: NewEvent, sender: string): MatrixEvent {
    const target = this.all.length > 0 ? this.all[to % this.all.length] : undefined;
    const relates = relation && target ? { rel_type: relation, event_id: target.event.event_id } : null;
    const event = ev.message(sender, `text ${this.all.length}`);
    if (relates) event.content["m.relates_to"] = relates;
    this.all.push({ event, relation: relates?.rel_type ?? null, to: relates?.event_id ?? null, redacted: false });
    return event;
  }

  /** Whether it shows in a bundle, also if it is not the newest. Others may come to light when something is redacted, which nothing tells. */
  isBundled(id: string): boolean {
    const { relation, to } = this.#of(id);
    return (relation === "m.thread" || relation === "m.reference") && to !== null && this.#of(to).relation === null;
  }

  /** The event as a homeserver gives it. */
  given(id: string, reader: Reader): MatrixEvent {
    const { event } = this.#of(id);
    const relations = this.#relations(id, reader);
    return relations ? { ...event, unsigned: { "m.relations": relations } } : event;
  }

  #of(id: string): Known {
    const known = this.all.find(({ event }) => event.event_id === id);
    assert.ok(known);
    return known.redacted ? { ...known, event: { ...known.event, content: {} } } : known;
  }

  #relations(id: string, reader: Reader): Json | null {
    const { event: root, relation, redacted } = this.#of(id);
    if (relation === "m.replace" && !redacted) return null;
    const related = this.all.filter(({ event, to, redacted: isGone }) => to === id && !isGone && !reader.ignored.has(event.sender));
    const by = (type: string) => related.filter((one) => one.relation === type).map(({ event }) => event);
    const edit = redacted ? undefined : by("m.replace").findLast(({ sender }) => sender === root.sender);
    const replies = redacted || relation === null ? by("m.thread") : [];
    const latest = replies.at(-1);
    const references = by("m.reference");
    const found = {
      ...(edit && { "m.replace": edit }),
      ...(latest && {
        "m.thread": {
          latest_event: this.given(latest.event_id, reader),
          count: replies.length,
          current_user_participated: [root, ...replies].some(({ sender }) => sender === reader.me),
        },
      }),
      ...(references.length > 0 && { "m.reference": { chunk: references.map(({ event_id }) => ({ event_id })) } }),
    };
    return Object.keys(found).length > 0 ? found : null;
  }
}

let worlds = 0;

class World {
  readonly room = `!bundled${(worlds += 1)}:test` as RoomId;
  readonly model = new Model();
  readonly readers: { readonly account: TestAccount; readonly me: string; readonly ignored: Set<string>; readonly has: string[] }[] = [];

  /** A reader may write, too: the first one of them. */
  sender(by: number): string {
    return OTHERS[by] ?? `@w${worlds}u0:test`;
  }

  /** Each reader gets the room with what is bundled so far. */
  async begin(first: readonly { readonly event: NewEvent; readonly hidden: boolean }[]): Promise<void> {
    const shown = first.flatMap(({ event, hidden }) => {
      const { event_id: id } = this.model.add(event, this.sender(event.by));
      return hidden && this.model.isBundled(id) ? [] : [id];
    });
    for (const n of [0, 1]) {
      const me = `@w${worlds}u${n}:test`;
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const account = await TestAccount.create(db.sql, me, ingester);
      const reader = { account, me, ignored: new Set<string>(), has: [...shown] };
      this.readers.push(reader);
      const timeline = [ev.message(me, "first"), ...shown.map((id) => this.model.given(id, reader))];
      // oxlint-disable-next-line no-await-in-loop -- as above
      await account.step({ join: { [this.room]: { limited: true, prev_batch: "p", state: newRoom(me), timeline } } });
    }
  }

  async play(one: Step): Promise<void> {
    if (one.kind === "ignore") return this.#ignore(one.account, OTHERS[one.whom] ?? "");
    let event: MatrixEvent;
    if (one.kind === "event") event = this.model.add(one, this.sender(one.by));
    else {
      const target = this.model.all[one.to % this.model.all.length];
      if (!target || target.redacted) return;
      target.redacted = true;
      event = ev.redaction(OTHERS[0], target.event.event_id);
    }
    for (const { account, ignored, has } of this.readers) {
      // v2 shows nothing of ignored users; that they redact something shows in what is redacted, which no one but the homeserver's fresh syncs tells.
      if (one.kind === "event" && ignored.has(event.sender)) continue;
      if (one.kind === "event") has.push(event.event_id);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await account.step({ join: { [this.room]: { timeline: [event] } } });
    }
  }

  async #ignore(n: number, whom: string): Promise<void> {
    const reader = this.readers[n];
    if (!reader || reader.ignored.has(whom)) return;
    reader.ignored.add(whom);
    const ignored_users = Object.fromEntries([...reader.ignored].map((user) => [user, {}]));
    await reader.account.step({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users } }] });
  }

  /** What is bundled is right or left out, and all of it right after the homeserver was asked. */
  async check(n: number): Promise<void> {
    const reader = this.readers[n];
    assert.ok(reader);
    const shown = reader.has.filter((id) => !reader.ignored.has(this.model.all.find(({ event }) => event.event_id === id)?.event.sender ?? ""));
    const expected = bundledIn(shown.map((id) => this.model.given(id, reader)));
    const { bundled, outdated } = await this.#read(n);
    const open = new Set<string>(outdated.map(({ eventId }) => eventId));
    for (const id of shown) {
      if (open.size === 0) assert.deepEqual(bundled[id], expected[id], `what is bundled with ${id}`);
      else for (const [part, value] of Object.entries(bundled[id] ?? {})) assert.deepEqual(value, expected[id]?.[part], `${part} of ${id}`);
    }
    for (const { roomId, eventId } of outdated) {
      const text = JSON.stringify(this.model.given(eventId, reader));
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await storeBundle(db.sql, { account: reader.account.account, roomId, eventId, text, position: await this.#position(n) });
    }
    if (outdated.length > 0) assert.deepEqual(await this.#read(n), { bundled: expected, outdated: [] });
  }

  async #position(n: number): Promise<Position> {
    const [row] = await db.sql<{ position: Position }[]>`select position from accounts where account = ${this.readers[n]?.account.account ?? 0}`;
    assert.ok(row);
    return row.position;
  }

  async #read(n: number): Promise<{ bundled: BundledById; outdated: RoomEvent[] }> {
    const reader = this.readers[n];
    assert.ok(reader);
    const { account } = reader.account;
    const ignored = [...reader.ignored] as UserId[];
    const to = await this.#position(n);
    const outdated: RoomEvent[] = [];
    const stored = await readTimelines(db.sql, account, [{ roomId: this.room, after: 0, sentSince: null }], { to, limit: 50, ignored });
    const timelines = await withBundles(db.sql, { account, userId: reader.me as UserId, ignored, to }, stored, {
      outdated: (events) => outdated.push(...events.map(({ roomId, eventId }) => ({ roomId, eventId }))),
    });
    const events = timelines.get(this.room)?.events ?? [];
    return { bundled: bundledIn(events.map((row) => JSON.parse(rowTextInRoom(row, 0 as DeviceNo, 0)) as Json)), outdated };
  }
}

test("T7: random relations, redactions and ignorings: what is bundled is what a homeserver bundles, or left out until it was asked", async () => {
  await fc.assert(
    fc.asyncProperty(before, fc.array(step, { maxLength: 12 }), async (first, steps) => {
      const world = new World();
      await world.begin(first);
      for (const one of steps) {
        // oxlint-disable no-await-in-loop -- one step after the other
        await world.play(one);
        for (const n of [0, 1]) await world.check(n);
        // oxlint-enable no-await-in-loop
      }
    }),
    { numRuns: 20 },
  );
});
