import { describe, expect, it } from "vitest";
import { joinTrees, treeOf } from "./answer-tree.ts";
import type { Json } from "./events.ts";
import { differencesOf, intentionOf, inWords } from "./tree-difference.ts";

const event = (id: string, age: number, body = "hello"): Json => ({ type: "m.room.message", event_id: id, content: { body }, unsigned: { age } });
const answer = (room: Json, extensions: Record<string, Json> = {}) => treeOf({ pos: "1", rooms: { "!a:b": room }, extensions }, () => "room");

describe("trees of answers", () => {
  it("are the same where only what is a server's own differs", () => {
    const one = {
      prev_batch: "t1",
      bump_stamp: 5,
      timeline: [event("$1", 10)],
      required_state: [
        { type: "a", state_key: "" },
        { type: "b", state_key: "" },
      ],
    };
    const other = { prev_batch: "x", bump_stamp: 900, timeline: [event("$1", 20)], required_state: one.required_state.toReversed() };
    expect(differencesOf(answer(one), answer(other))).toEqual([]);
  });

  it.each<[string, Json, Json]>([
    ['rooms/room/name: the homeserver "x", we nothing', { name: "x" }, {}],
    ['rooms/room/prev_batch: the homeserver nothing, we "a token"', {}, { prev_batch: "t" }],
    ['rooms/room/bump_stamp: the homeserver "a stamp", we -1', { bump_stamp: 1 }, { bump_stamp: -1 }],
    [
      'rooms/room/timeline/events/$1/content/body: the homeserver "hello", we "bye"',
      { timeline: [event("$1", 1)] },
      { timeline: [event("$1", 1, "bye")] },
    ],
    [
      'rooms/room/required_state/a| again: the homeserver nothing, we {"type":"a","state_key":""}',
      { required_state: [{ type: "a", state_key: "" }] },
      {
        required_state: [
          { type: "a", state_key: "" },
          { type: "a", state_key: "" },
        ],
      },
    ],
    ["rooms/room/num_live: the homeserver 0, we false", { num_live: 0 }, { num_live: false }],
  ])("%s", (words, native, ours) => {
    expect(differencesOf(answer(native), answer(ours)).map(inWords)).toContain(words);
  });

  it("show events in another order", () => {
    const [one, two] = [event("$1", 1, "one"), event("$2", 1, "two")];
    const [difference] = differencesOf(answer({ timeline: [one, two] }), answer({ timeline: [two, one] }));
    expect(difference?.path).toEqual(["rooms", "room", "timeline", "order"]);
  });

  it("joined, are those of one answer with all of it", () => {
    const whole = answer({
      num_live: 2,
      timeline: [event("$1", 1), event("$2", 1)],
      required_state: [{ type: "a", state_key: "", content: { x: 2 } }],
    });
    const first = answer({ num_live: 1, timeline: [event("$1", 1)], required_state: [{ type: "a", state_key: "", content: { x: 1, y: 1 } }] });
    const then = answer({ num_live: 1, timeline: [event("$2", 1)], required_state: [{ type: "a", state_key: "", content: { x: 2 } }] });
    expect(differencesOf(whole, joinTrees(first, then))).toEqual([]);
  });
});

describe("a difference that is meant", () => {
  const difference = { path: ["rooms", "room", "name"], native: 0, ours: 3 };

  it.each([
    ["rooms/*/name", true],
    ["rooms/**", true],
    ["rooms/room/name/**", true],
    ["rooms/*", false],
    ["rooms/*/avatar", false],
    ["rooms/{other;room}/name", true],
    ["rooms/{other;another}/name", false],
    ["*/room/name/x", false],
  ])("at %s: %s", (path, meant) => {
    expect(intentionOf(difference, [{ path, why: "" }]) !== undefined).toBe(meant);
  });

  it("is of the values that are meant", () => {
    expect(intentionOf(difference, [{ path: "rooms/*/name", when: (native) => native === 1, why: "" }])).toBeUndefined();
    expect(intentionOf(difference, [{ path: "rooms/*/name", when: (native) => native === 0, why: "" }])).toBeDefined();
  });
});
