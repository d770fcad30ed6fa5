import { afterEach, describe, expect, it } from "vitest";
import type { AccountRoom } from "../store/account-rooms.ts";
import type { RoomId } from "../wire/ids.ts";
import { requestBounds, scaleRequestBounds } from "../wire/request-bounds.ts";
import { combinationsOf } from "./combinations.ts";
import { type ConnectionState, LIVE, NOTHING_SENT, StateDraft, STRIPPED } from "./connection-state.ts";
import { boundSubscriptions, withinBounds } from "./remembered-bounds.ts";
import type { SlidingBody } from "./request.ts";
import { type Atom, matcherOf, NO_STATE, remembered, type RequiredState } from "./required-state.ts";
import type { ChosenRoom } from "./select.ts";
import { noteSticky } from "./sticky.ts";

afterEach(() => scaleRequestBounds(1));

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
const id = (index: number) => `!r${index}:test` as RoomId;
const atoms = (count: number, prefix: string) => times(count, (index): Atom => ({ type: `${prefix}${index}`, key: "" }));
const stateOf = (...all: Atom[]): RequiredState => ({ atoms: all, lazy: false });
const charactersOf = ({ configs }: ConnectionState) => configs.reduce((sum, config) => sum + matcherOf(config).key.length, 0);

function bodyOf(subscriptions: readonly RoomId[], over: Partial<SlidingBody> = {}): SlidingBody {
  const config = { timelineLimit: 1, requiredState: NO_STATE };
  return { lists: new Map(), subscriptions: new Map(subscriptions.map((roomId) => [roomId, config])), extensions: {}, sticky: null, ...over };
}

function chosenOf(rooms: readonly (readonly [RoomId, RequiredState])[]): Map<RoomId, ChosenRoom> {
  const room = {} as AccountRoom;
  const choices = rooms.map(
    ([roomId, requiredState]) =>
      [roomId, { room: { ...room, roomId }, lists: ["a"], subscribed: false, config: { timelineLimit: 1, requiredState } }] as const,
  );
  return new Map(choices);
}

/** A connection that was sent rooms, the first longest ago. */
function sentOf(rooms: readonly (readonly [RoomId, RequiredState])[]): ConnectionState {
  const draft = new StateDraft(NOTHING_SENT);
  for (const [roomId, config] of rooms) draft.put(roomId, { sent: { events: LIVE }, limit: 1, config: draft.config(config), lazy: [] });
  return draft.done();
}

describe("N10: subscriptions of the unstable dialect", () => {
  it("N10: at the bound all of them count; beyond it those sent longest ago end, whatever their order in the request", () => {
    const most = requestBounds().unstableSubscriptions;
    const all = bodyOf(times(most, id));
    expect(boundSubscriptions(all, NOTHING_SENT)).toBe(all);
    const state = sentOf([id(5), id(3), id(7)].map((roomId) => [roomId, NO_STATE]));
    const remaining = boundSubscriptions(bodyOf(times(most + 2, id)), state).subscriptions;
    expect(remaining.size).toBe(most);
    expect([id(5), id(3), id(7), id(0)].map((roomId) => remaining.has(roomId))).toEqual([false, false, true, true]);
    // Of rooms that were never sent the first of the request go.
    const fresh = boundSubscriptions(bodyOf(times(most + 4, id)), state).subscriptions;
    expect([fresh.size, fresh.has(id(7)), fresh.has(id(0)), fresh.has(id(1))]).toEqual([most, false, false, true]);
  });

  it("N10: sticky ones end oldest first, by their number and by the size of their configs", () => {
    scaleRequestBounds(0.1);
    const { stickySubscriptions, stateCharacters } = requestBounds();
    const sticky = { unsubscribe: [] };
    const merge = (rooms: readonly (readonly [RoomId, RequiredState])[], before: ConnectionState) => {
      const draft = new StateDraft(before);
      const subscriptions = new Map(rooms.map(([roomId, requiredState]) => [roomId, { timelineLimit: 1, requiredState }]));
      noteSticky(bodyOf([], { subscriptions, sticky }), before, draft);
      return draft.done();
    };
    let state = NOTHING_SENT;
    for (let n = 0; n <= stickySubscriptions; n += 1) state = merge([[id(n), NO_STATE]], state);
    expect([...state.sticky.keys()]).toEqual(times(stickySubscriptions, (n) => id(n + 1)));
    const large = (n: number) => stateOf({ type: `${n}`.padEnd(stateCharacters * 0.4, "x"), key: "" });
    for (let n = 0; n < 4; n += 1) state = merge([[id(100 + n), large(n)]], state);
    expect([...state.sticky.keys()]).toEqual([id(102), id(103)]);
  });
});

describe("N10: what a connection remembers", () => {
  it("N10: ever new types: at most so many entries of a room, the newest", () => {
    const most = requestBounds().rememberedEntries;
    let state = NO_STATE;
    for (let n = 0; n < 5; n += 1) state = remembered(state, stateOf(...atoms(most / 2, `${n}.`)), [], false);
    expect(state.atoms.length).toBe(most / 2 + most);
    expect(state.atoms.slice(-most / 2)).toEqual(atoms(most / 2, "4."));
    for (const [prefix, isKept] of [
      ["3.", true],
      ["1.", false],
    ] as const) {
      expect(matcherOf(state).matches(`${prefix}${most / 2 - 1}`, ""), prefix).toBe(isKept);
    }
  });

  it("N10: configs within their bound stay, the very state; beyond it only what is asked for now does", () => {
    const most = requestBounds().rememberedCharacters;
    const small = sentOf([[id(0), stateOf(...atoms(3, "a"))]]);
    expect(withinBounds(small, new Map())).toBe(small);
    const rooms = times(40, (n) => [id(n), stateOf(...atoms(1000, `${n}.`))] as const);
    const state = sentOf(rooms);
    expect(charactersOf(state)).toBeGreaterThan(most);
    const asked = stateOf(...atoms(5, "7."), { type: "new", key: "" });
    const bounded = withinBounds(state, chosenOf([[id(7), asked]]));
    expect(charactersOf(bounded)).toBeLessThan(most / 100);
    const configOf = (roomId: RoomId) => bounded.configs[bounded.rooms.get(roomId)?.config ?? STRIPPED];
    // What is asked for and was sent is not sent again; what was never sent is not taken for sent.
    expect(configOf(id(7))?.atoms).toEqual(atoms(5, "7."));
    expect(configOf(id(8))).toEqual(NO_STATE);
    expect([...bounded.rooms.keys()]).toEqual([...state.rooms.keys()]);
    expect(bounded.rooms.get(id(8))?.sent).toEqual({ events: LIVE });
  });
});

describe("N10: combinations of the lists' configs", () => {
  const sets = (count: number) => times(count, (n) => new Set([stateOf({ type: `a${n}`, key: "" }), stateOf({ type: `b${n}`, key: "" })]));

  it("N10: a combination is put together once, however many rooms have it", () => {
    const [parts] = sets(1);
    const [again] = [new Set([...(parts ?? [])].toReversed())];
    const stateFor = combinationsOf(parts ? [parts, again] : []);
    expect(stateFor(parts ?? new Set())).toBe(stateFor(again));
    expect(stateFor(again).atoms.map(({ type }) => type)).toEqual(expect.arrayContaining(["a0", "b0"]));
  });

  it("N10: at the bound each room is sent its own; one more, and rooms of several lists are sent what any list asks for", () => {
    const most = requestBounds().combinations;
    const alone = new Set([stateOf({ type: "alone", key: "" })]);
    for (const [count, isOwn] of [
      [most, true],
      [most + 1, false],
    ] as const) {
      const all = sets(count);
      const stateFor = combinationsOf([...all, alone]);
      const states = new Set(all.map((parts) => stateFor(parts)));
      expect([states.size, stateFor(all[0] ?? new Set()).atoms.length]).toEqual(isOwn ? [count, 2] : [1, 2 * count]);
      expect(stateFor(alone).atoms).toEqual([{ type: "alone", key: "" }]);
    }
  });
});
