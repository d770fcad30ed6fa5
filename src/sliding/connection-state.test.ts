import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RoomId, UserId } from "../wire/ids.ts";
import { type ConnectionState, LIVE, NOTHING_SENT, type NumberedState, StateDraft, storedForm, sentUpTo } from "./connection-state.ts";
import { NO_STATE, type RequiredState } from "./required-state.ts";
import { fromStored } from "./stored-state.ts";

const STREAMS = ["events", "receipts", "accountData", "typing", "profiles"] as const;
const named = (type: number): RequiredState => ({ atoms: [{ type: `type ${type}` }], lazy: type % 2 === 0 });
const roomOf = (n: number) => `!${n}:test` as RoomId;

type Change =
  | { readonly what: "room"; readonly room: number; readonly limit: number; readonly config: number; readonly lazy: readonly string[] }
  | { readonly what: "tell"; readonly room: number; readonly stream: (typeof STREAMS)[number]; readonly sent: number }
  | { readonly what: "global"; readonly sent: number | undefined }
  | { readonly what: "e2ee"; readonly on: boolean }
  | { readonly what: "passed over"; readonly rooms: readonly number[] }
  | { readonly what: "profiles"; readonly sent: number; readonly fields: readonly string[] | null }
  | { readonly what: "sticky"; readonly rooms: readonly number[]; readonly config: number };

const room = fc.nat(60);
const sent = fc.oneof(fc.constant(LIVE), fc.nat(1000));
const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constant("room" as const), room, limit: fc.nat(20), config: fc.nat(90), lazy: fc.uniqueArray(fc.string()) }),
  },
  { weight: 4, arbitrary: fc.record({ what: fc.constant("tell" as const), room, stream: fc.constantFrom(...STREAMS), sent }) },
  fc.record({ what: fc.constant("global" as const), sent: fc.option(sent, { nil: undefined }) }),
  fc.record({ what: fc.constant("e2ee" as const), on: fc.boolean() }),
  fc.record({ what: fc.constant("passed over" as const), rooms: fc.uniqueArray(room, { maxLength: 5 }) }),
  fc.record({ what: fc.constant("profiles" as const), sent, fields: fc.option(fc.array(fc.string())) }),
  fc.record({ what: fc.constant("sticky" as const), rooms: fc.uniqueArray(room, { maxLength: 5 }), config: fc.nat(90) }),
);

function apply(draft: StateDraft, one: Change): void {
  switch (one.what) {
    case "room":
      return draft.put(roomOf(one.room), { limit: one.limit, config: draft.config(named(one.config)), lazy: one.lazy as UserId[] });
    case "tell":
      return draft.setSent(roomOf(one.room), one.stream, one.sent);
    case "global":
      return draft.setGlobal(one.sent);
    case "e2ee":
      return draft.setE2ee(one.on);
    case "passed over":
      return draft.setPassedOver(new Map(one.rooms.map((n) => [roomOf(n), n])));
    case "profiles":
      return draft.setProfiles({ sent: one.sent, fields: one.fields });
    case "sticky":
      return draft.setSticky(new Map(one.rooms.map((n) => [roomOf(n), [n, draft.config(named(one.config))] as const])));
  }
}

/** With configs in place of their indices, so that states can be compared whatever was dropped. */
function meaning({ rooms, configs, global, e2ee, sticky }: ConnectionState) {
  const config = (index: number) => configs[index] ?? null;
  return {
    rooms: Object.fromEntries([...rooms].map(([id, record]) => [id, { ...record, config: config(record.config) }])),
    sticky: [...sticky].map(([id, [limit, index]]) => [id, limit, config(index)]),
    global,
    e2ee,
  };
}

describe("how a state is stored", () => {
  it("M5: whatever changes came, as a change of a full state or in full: what is read is what was stored", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(change, { maxLength: 40 }), { maxLength: 12 }), async (answers) => {
        const bodies = new Map<number, string>();
        let now: NumberedState = { number: 0, state: NOTHING_SENT, base: null };
        for (const [index, changes] of answers.entries()) {
          const draft = new StateDraft(now.state);
          for (const one of changes) apply(draft, one);
          const state = draft.done();
          if (state === now.state) continue;
          const { base, body } = storedForm(now, state);
          bodies.set(index + 1, body);
          const stored = base && { state: base.number, body: bodies.get(base.number) ?? "" };
          const read = await fromStored(index + 1, { base: stored, body });
          expect(read.state).toEqual(state);
          expect(read.number).toBe(index + 1);
          // Another process continues from what it reads, this one from what it has.
          now = index % 2 === 0 ? read : { number: index + 1, state, base };
        }
      }),
      { numRuns: 60 },
    );
  });

  it("M5: a state of an older version, with fewer streams, means what it meant", async () => {
    const rooms = { [roomOf(1)]: [LIVE, 5, null, 7, 20, 0, ["@bob:test"]] };
    const body = JSON.stringify({ configs: [NO_STATE], global: null, e2ee: false, sticky: {}, rooms });
    expect((await fromStored(3, { base: null, body })).state).toEqual({
      ...NOTHING_SENT,
      configs: [NO_STATE],
      rooms: new Map([[roomOf(1), { sent: { events: LIVE, receipts: 5, typing: 7 }, limit: 20, config: 0, lazy: ["@bob:test"] }]]),
    });
  });

  it("M5: a small change of many rooms is stored as a change, a large one in full", () => {
    const many = new StateDraft(NOTHING_SENT);
    for (let n = 0; n < 400; n += 1) many.put(roomOf(n), { limit: 1, config: many.config(NO_STATE) });
    const full = storedForm({ number: 0, state: NOTHING_SENT, base: null }, many.done());
    expect(full.base).toBeNull();
    const first: NumberedState = { number: 1, state: many.done(), base: null };
    const changed = (count: number) => {
      const draft = new StateDraft(first.state);
      for (let n = 0; n < count; n += 1) draft.put(roomOf(n), { limit: 2 });
      return storedForm(first, draft.done());
    };
    expect(changed(3)).toMatchObject({ base: { number: 1 } });
    expect(changed(3).body.length).toBeLessThan(full.body.length / 20);
    expect(changed(300).base).toBeNull();
  });

  it("M5: changes of changes are stored against the same full state", () => {
    const draft = new StateDraft(NOTHING_SENT);
    for (let n = 0; n < 100; n += 1) draft.put(roomOf(n), { limit: 1 });
    const first: NumberedState = { number: 5, state: draft.done(), base: null };
    const second = new StateDraft(first.state);
    second.put(roomOf(1), { limit: 2 });
    const form = storedForm(first, second.done());
    const third = new StateDraft(second.done());
    third.put(roomOf(2), { limit: 3 });
    const next = storedForm({ number: 6, state: second.done(), base: form.base }, third.done());
    expect(next.base?.number).toBe(5);
    expect(Object.keys((JSON.parse(next.body) as { rooms: object }).rooms)).toEqual([roomOf(1), roomOf(2)]);
  });
});

describe("a state being changed", () => {
  it("M3: returns the same state if nothing changed, and never changes the one before", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), fc.array(change, { maxLength: 10 }), (before, changes) => {
        const first = new StateDraft(NOTHING_SENT);
        for (const one of before) apply(first, one);
        const state = first.done();
        const copy = structuredClone(state);
        const again = new StateDraft(state);
        for (const one of before.toReversed().filter((each, index, all) => all.findIndex((other) => other.what === each.what) === index)) {
          if (one.what === "global" || one.what === "e2ee") apply(again, one);
        }
        expect(again.done()).toBe(state);
        const other = new StateDraft(state);
        for (const one of changes) apply(other, one);
        other.done();
        expect(state).toEqual(copy);
      }),
    );
  });

  it("M40: unused configs are dropped once there are many, and the rest keeps its meaning", () => {
    let state = NOTHING_SENT;
    for (let n = 0; n < 200; n += 1) {
      const draft = new StateDraft(state);
      draft.put(roomOf(n % 3), { config: draft.config(named(n)), limit: n });
      if (n === 10) draft.setSticky(new Map([[roomOf(9), [1, draft.config(named(1000))]]]));
      const expected = { ...meaning(state).rooms, [roomOf(n % 3)]: { ...draft.room(roomOf(n % 3)), config: named(n) } };
      state = draft.done();
      expect(meaning(state).rooms).toEqual(expected);
    }
    expect(state.configs.length).toBeLessThan(70);
    expect(meaning(state).sticky).toEqual([[roomOf(9), 1, named(1000)]]);
  });

  it("M23: sent up to the position while live, otherwise up to where it was left behind, and by default never", () => {
    const draft = new StateDraft(NOTHING_SENT);
    draft.setSent(roomOf(1), "events", LIVE);
    draft.setSent(roomOf(1), "typing", 7);
    const record = draft.done().rooms.get(roomOf(1));
    expect(STREAMS.map((stream) => sentUpTo(record, stream, 99))).toEqual([99, undefined, undefined, 7, undefined]);
    expect(sentUpTo(undefined, "events", 99)).toBeUndefined();
  });
});
