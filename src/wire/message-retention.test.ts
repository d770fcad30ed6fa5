import { describe, expect, it } from "vitest";
import type { RoomId } from "./ids.ts";
import { cutRetention, lifetimeOf, maxLifetime } from "./message-retention.ts";

const ROOM = "!a:test" as RoomId;
const DAY = 86_400_000;

describe("the lifetime of a room's messages", () => {
  it("T4: without retention at the homeserver there is none, whatever a room says", () => {
    expect(lifetimeOf(null, ROOM, 1)).toBe(null);
    expect(lifetimeOf({}, ROOM, undefined)).toBe(null);
  });

  it("T4: is the room's, else the homeserver's default", () => {
    expect(lifetimeOf({ fallback: 30 * DAY }, ROOM, DAY)).toBe(DAY);
    expect(lifetimeOf({ fallback: 30 * DAY }, ROOM, undefined)).toBe(30 * DAY);
  });

  it("T4: a room cannot go beyond the homeserver's limits: max_lifetime 1 is the least that is allowed", () => {
    const limits = { least: DAY, most: 7 * DAY };
    expect(lifetimeOf(limits, ROOM, 1)).toBe(DAY);
    expect(lifetimeOf(limits, ROOM, 400 * DAY)).toBe(7 * DAY);
    expect(lifetimeOf(limits, ROOM, undefined)).toBe(null);
    expect(lifetimeOf({}, ROOM, 1)).toBe(1);
  });

  it("T4: a policy of the homeserver's for that room comes before what the room says", () => {
    expect(lifetimeOf({ rooms: { [ROOM]: 5 * DAY }, most: DAY }, ROOM, 1)).toBe(5 * DAY);
  });
});

describe("what is said of retention", () => {
  it("T4: max_lifetime counts if it is a whole number; the event is void if min_lifetime is something else", () => {
    expect(maxLifetime({ max_lifetime: 5, min_lifetime: 1 })).toBe(5);
    expect(maxLifetime({ max_lifetime: -5 })).toBe(0);
    for (const wrong of [{}, null, [], { max_lifetime: "5" }, { max_lifetime: 1.5 }, { max_lifetime: null }, { max_lifetime: 1e300 }])
      expect(maxLifetime(wrong)).toBe(undefined);
    expect(maxLifetime({ max_lifetime: 5, min_lifetime: "1" })).toBe(undefined);
  });

  it("T4: the configuration is read as far as it is sound", () => {
    const text = {
      policies: { "*": { max_lifetime: 9 }, "!a:test": { max_lifetime: 7 }, "!b:test": 5 },
      limits: { max_lifetime: { min: 2, max: 8 } },
    };
    expect(cutRetention(JSON.stringify(text))).toEqual({ fallback: 9, rooms: { "!a:test": 7 }, least: 2, most: 8 });
    expect(cutRetention('{"policies":{},"limits":{}}')).toEqual({});
    expect(cutRetention('{"policies":[1],"limits":{"max_lifetime":{"min":"2"}}}')).toEqual({});
  });
});
