import { describe, expect, test } from "vitest";
import { BackOff } from "./back-off.ts";

describe("B50: back-off", () => {
  test("the bound doubles from 2 s to the cap, and a success resets it", () => {
    const backOff = new BackOff(() => 1);
    expect(Array.from({ length: 8 }, () => backOff.failed())).toEqual([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(backOff.failures).toBe(8);
    backOff.succeeded();
    expect(backOff.failed()).toBe(2000);
  });

  test("TestPollerGivesUpEventually, B50: stays at the cap for ever", () => {
    const backOff = new BackOff(() => 1);
    for (let index = 0; index < 5000; index += 1) backOff.failed();
    expect(backOff.failed()).toBe(60_000);
  });

  test("a lower cap applies only to the failure that it is given for", () => {
    const backOff = new BackOff(() => 1);
    expect(Array.from({ length: 5 }, () => backOff.failed(null, 5000))).toEqual([2000, 4000, 5000, 5000, 5000]);
    expect(backOff.failed()).toBe(60_000);
  });

  test("full jitter: anywhere between nothing and the bound", () => {
    expect(new BackOff(() => 0).failed()).toBe(0);
    expect(new BackOff(() => 0.25).failed()).toBe(500);
  });

  test("never less than the homeserver asks for, up to an hour", () => {
    expect(new BackOff(() => 0).failed(90_000)).toBe(90_000);
    expect(new BackOff(() => 1).failed(90_000)).toBe(92_000);
    expect(new BackOff(() => 0).failed(1e12)).toBe(3_600_000);
    expect(new BackOff(() => 0).failed(0)).toBe(0);
  });
});
