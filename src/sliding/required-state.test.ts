import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Atom, combine, matcherOf, NO_STATE, remembered, type RequiredState } from "./required-state.ts";

const MEMBER = "m.room.member";
const of = (...atoms: Atom[]): RequiredState => ({ atoms, lazy: false });
const TYPES = ["m.room.name", "m.space.child", MEMBER];
const KEYS = ["", "a", "@me:test"];
const EVENTS = TYPES.flatMap((type) => KEYS.map((key) => ({ type, key })));

const pattern = fc.record({ type: fc.constantFrom(...TYPES), key: fc.constantFrom(...KEYS) }, { requiredKeys: [] });
const atom: fc.Arbitrary<Atom> = fc
  .tuple(pattern, fc.option(fc.array(pattern, { minLength: 1, maxLength: 2 }), { nil: undefined }), fc.boolean())
  .map(([one, not, noMembers]) => ({ ...one, ...(not && { not }), ...(noMembers && one.type === undefined && { noMembers: true as const }) }));
const state: fc.Arbitrary<RequiredState> = fc.record({ atoms: fc.array(atom, { maxLength: 4 }), lazy: fc.boolean() });

describe("what is asked for of state", () => {
  it("M38: exact pairs, any key, any type, everything, nothing", () => {
    const matching = (...atoms: Atom[]) => EVENTS.filter(({ type, key }) => matcherOf(of(...atoms)).matches(type, key)).length;
    expect(matching({ type: "m.room.name", key: "" })).toBe(1);
    expect(matching({ type: "m.room.name" })).toBe(3);
    expect(matching({ key: "a" })).toBe(3);
    expect(matching({})).toBe(9);
    expect(matching()).toBe(0);
    expect(matching({ type: "m.room.name" }, { key: "" })).toBe(5);
  });

  it("M41: less what is excluded; everything but members where those come lazily", () => {
    const matcher = matcherOf({
      atoms: [
        { noMembers: true, not: [{ type: "m.room.name" }] },
        { type: MEMBER, key: "a" },
      ],
      lazy: true,
    });
    expect(EVENTS.filter(({ type, key }) => matcher.matches(type, key)).map(({ type, key }) => `${type} ${key}`)).toEqual([
      "m.space.child ",
      "m.space.child a",
      "m.space.child @me:test",
      `${MEMBER} a`,
    ]);
    expect([matcher.memberKeys, matcher.allMembers]).toEqual([["a"], false]);
  });

  it("M38: what is read for it is no less than what it matches", () => {
    fc.assert(
      fc.property(state, (one) => {
        const matcher = matcherOf(one);
        const { selector, memberKeys, allMembers } = matcher;
        const isRead = (type: string, key: string) => {
          if (type === MEMBER) return allMembers || memberKeys.includes(key);
          return selector === "all" || selector.some(([t, k]) => (t === "*" || t === type) && (k === "*" || k === key));
        };
        for (const { type, key } of EVENTS) if (matcher.matches(type, key)) expect(isRead(type, key), `${type} ${key}`).toBe(true);
      }),
    );
  });

  it("M21: a combined config matches what any of its parts does, and is lazy where one is", () => {
    fc.assert(
      fc.property(fc.array(state, { maxLength: 4 }), (parts) => {
        const full = combine(parts);
        for (const { type, key } of EVENTS) {
          expect(matcherOf(full).matches(type, key)).toBe(parts.some((part) => matcherOf(part).matches(type, key)));
        }
        expect(full.lazy).toBe(parts.some((part) => part.lazy));
        expect(matcherOf(combine(parts.toReversed())).key).toBe(matcherOf(full).key);
        expect(matcherOf(combine([...parts, ...parts, NO_STATE])).key).toBe(matcherOf(full).key);
      }),
    );
  });

  it("M38: equal configs have one key, whatever the order of their parts, and however often one is named", () => {
    const [a, b] = [{ type: "m.room.name", key: "" }, { type: "m.room.topic" }] as const;
    expect(matcherOf(of(a, b)).key).toBe(matcherOf(of(b, { key: "", type: "m.room.name" })).key);
    expect(matcherOf(of(a, b, a)).key).toBe(matcherOf(of(a, b)).key);
    expect(matcherOf(of(a, b)).key).not.toBe(matcherOf({ atoms: [a, b], lazy: true }).key);
    expect(matcherOf(of(a)).key).not.toBe(matcherOf(of(b)).key);
  });
});

describe("what a connection remembers", () => {
  const [name, topic, children] = [{ type: "m.room.name", key: "" }, { type: "m.room.topic", key: "" }, { type: "m.space.child" }] as const;

  it("M40: what was asked for once is not sent again, unless it changed meanwhile", () => {
    const before = of(name, topic, children);
    expect(remembered(before, of(name), [], false)).toEqual(of(topic, children, name));
    expect(remembered(before, of(name), [{ type: "m.room.topic", key: "" }], false)).toEqual(of(children, name));
    expect(remembered(before, of(name), [{ type: "m.space.child", key: "a" }], false)).toEqual(of(topic, name));
    expect(remembered(before, of(), [{ type: "m.other", key: "" }], false)).toEqual(before);
    expect(remembered(NO_STATE, of(name), [], false)).toEqual(of(name));
  });

  it("M39 M40: after a gap a client has no members but those that it asks for", () => {
    const before = of({}, { type: MEMBER }, { key: "a" }, name, { type: MEMBER, key: "a" });
    expect(remembered(before, of({ type: MEMBER, key: "a" }), [], true).atoms).toEqual([
      { noMembers: true },
      { key: "a", noMembers: true },
      name,
      { type: MEMBER, key: "a" },
    ]);
  });

  it("M40: whatever is remembered was asked for then or is now, and did not change unseen", () => {
    fc.assert(
      fc.property(state, state, fc.subarray(EVENTS), fc.boolean(), (before, now, all, flushed) => {
        const changed = all.filter(({ type, key }) => !matcherOf(now).matches(type, key));
        const after = matcherOf(remembered(before, now, changed, flushed));
        expect(after.state.lazy).toBe(now.lazy);
        for (const { type, key } of EVENTS) {
          const [then, is] = [matcherOf(before).matches(type, key), matcherOf(now).matches(type, key)];
          if (is) expect(after.matches(type, key)).toBe(true);
          else if (!then || changed.some((one) => one.type === type && one.key === key) || (flushed && type === MEMBER)) {
            expect(after.matches(type, key), `${type} ${key}`).toBe(false);
          }
        }
      }),
    );
  });

  it("M40: at most 100 single keys of a type, the newest", () => {
    const keys = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, index): Atom => ({ type: MEMBER, key: `@u${from + index}:test` }));
    const after = remembered(of(...keys(0, 150), name), of(), [], false);
    expect(after.atoms).toEqual([...keys(50, 150), name]);
  });
});
