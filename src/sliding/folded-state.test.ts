import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RoomId, UserId } from "../wire/ids.ts";
import { type ConnectionState, LIVE, MAYBE, NOTHING_SENT, type SentRoom, StateDraft, STREAMS, STRIPPED } from "./connection-state.ts";
import { folded, mergedState, unfolded } from "./folded-state.ts";
import { NO_STATE, type RequiredState } from "./required-state.ts";

const CONFIGS: readonly RequiredState[] = [0, 1, 2].map((n) => ({ atoms: [{ type: `type ${n}` }], lazy: n === 1 }));
const roomOf = (n: number) => `!${n}:test` as RoomId;
const ROOMS = Array.from({ length: 12 }, (_, n) => roomOf(n));

const sent = fc.oneof(fc.constant(undefined), fc.constant(LIVE), fc.constant(MAYBE), fc.maxSafeNat());
const record = fc.record({
  sent: fc.tuple(sent, sent, sent, sent),
  limit: fc.nat(100),
  config: fc.integer({ min: STRIPPED, max: CONFIGS.length - 1 }),
  lazy: fc.uniqueArray(fc.constantFrom("@a:test", "@b:test")),
});
const state = fc
  .record({
    rooms: fc.dictionary(fc.nat(ROOMS.length - 1).map(String), record),
    global: sent,
    e2ee: fc.boolean(),
    sticky: fc.dictionary(fc.nat(ROOMS.length - 1).map(String), fc.tuple(fc.nat(100), fc.nat(CONFIGS.length - 1))),
  })
  .map(({ rooms, global, e2ee, sticky }): ConnectionState => {
    const draft = new StateDraft(NOTHING_SENT);
    const config = (index: number) => (index === STRIPPED ? STRIPPED : draft.config(CONFIGS[index] ?? NO_STATE));
    for (const [n, one] of Object.entries(rooms)) {
      const of = Object.fromEntries(STREAMS.flatMap((stream, index) => (one.sent[index] === undefined ? [] : [[stream, one.sent[index]]])));
      draft.put(roomOf(Number(n)), { sent: of, limit: one.limit, config: config(one.config), lazy: one.lazy as UserId[] });
    }
    draft.setGlobal(global);
    draft.setE2ee(e2ee);
    draft.setSticky(new Map(Object.entries(sticky).map(([n, [limit, index]]) => [roomOf(Number(n)), [limit, config(index)] as const])));
    return draft.done();
  });

const configOf = ({ configs }: ConnectionState, { config }: SentRoom) => (config === STRIPPED ? "stripped" : configs[config]);
const withoutLazy = ({ rooms, ...rest }: ConnectionState) => ({ ...rest, rooms: new Map([...rooms].map(([id, one]) => [id, { ...one, lazy: [] }])) });

describe("a folded state", () => {
  it("M95: says what the state said, but for lazily sent members, in the same order of rooms", async () => {
    await fc.assert(
      fc.asyncProperty(state, async (before) => {
        const after = await unfolded({ bytes: await folded(before), rooms: ROOMS.toReversed() });
        expect(after).toEqual(withoutLazy(before));
        expect([...after.rooms.keys()]).toEqual([...before.rooms.keys()]);
      }),
    );
  });

  it("M95: has at most 64 bytes a room, however long its id, its positions and its members are", async () => {
    const draft = new StateDraft(NOTHING_SENT);
    const most = Number.MAX_SAFE_INTEGER;
    const rooms = Array.from({ length: 1000 }, (_, n) => `!${"x".repeat(240)}${n}:test` as RoomId);
    const lazy = Array.from({ length: 200 }, (_, n) => `@user${n}:test` as UserId);
    const empty = (await folded(NOTHING_SENT)).length;
    for (const roomId of rooms)
      draft.put(roomId, { sent: { events: most, receipts: most, accountData: most, typing: most }, limit: 100, config: 5000, lazy });
    expect((await folded(draft.done())).length - empty).toBeLessThanOrEqual(64 * rooms.length);
    const plain = new StateDraft(NOTHING_SENT);
    for (const roomId of rooms) plain.put(roomId, { sent: { events: LIVE }, limit: 20, config: 0, lazy });
    expect((await folded(plain.done())).length - empty).toBeLessThanOrEqual(20 * rooms.length);
  });

  it("M95: a room that the account has no more is left out", async () => {
    const draft = new StateDraft(NOTHING_SENT);
    for (const roomId of [roomOf(1), roomOf(2)]) draft.put(roomId, { sent: { events: LIVE } });
    const after = await unfolded({ bytes: await folded(draft.done()), rooms: [roomOf(2), roomOf(3)] });
    expect([...after.rooms.keys()]).toEqual([roomOf(2)]);
  });
});

describe("several states as one", () => {
  it("M95: one of them alone is itself, but for lazily sent members", async () => {
    await fc.assert(
      fc.asyncProperty(state, async (one) => {
        const same = await mergedState([one]);
        expect([...same.rooms.keys()]).toEqual([...one.rooms.keys()]);
        for (const [roomId, known] of one.rooms) {
          const taken = same.rooms.get(roomId);
          expect(taken).toMatchObject({ sent: known.sent, limit: known.limit, lazy: [] });
          expect(taken && configOf(same, taken)).toEqual(configOf(one, known));
        }
        expect([same.global, same.e2ee, same.sticky.size]).toEqual([one.global, one.e2ee, one.sticky.size]);
      }),
    );
  });

  it("M95 M97: claims of no room more than each of them does, and forgets none that any of them was sent", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(state, { minLength: 2, maxLength: 4 }), async (states) => {
        const merged = await mergedState(states);
        expect(new Set(merged.rooms.keys())).toEqual(new Set(states.flatMap(({ rooms }) => [...rooms.keys()])));
        for (const [roomId, taken] of merged.rooms) {
          for (const one of states) {
            const known = one.rooms.get(roomId);
            expect(taken.limit).toBeLessThanOrEqual(known?.limit ?? 0);
            for (const stream of STREAMS) {
              const [is, was] = [taken.sent[stream], known?.sent[stream]];
              if (is === undefined) expect(was).toBeUndefined();
              else if (is === LIVE) expect(was).toBe(LIVE);
              else if (is !== MAYBE) expect(was === LIVE || (was ?? -1) >= is).toBe(true);
            }
            const config = configOf(merged, taken);
            if (config !== "stripped" && config?.atoms.length) expect(known && configOf(one, known)).toEqual(config);
          }
        }
        expect(merged.e2ee).toBe(states.some(({ e2ee }) => e2ee));
        if (merged.global === undefined || merged.global === LIVE) expect(states.every(({ global }) => global === merged.global)).toBe(true);
      }),
    );
  });
});
