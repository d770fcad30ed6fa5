import { describe, expect, test } from "vitest";
import type { UserId } from "../wire/ids.ts";
import { planPoll, type PollCursor } from "./poll-plan.ts";
import { FIRST_MEMORY, type PollerMemory } from "./poller-state.ts";

const RELAXED: PollerMemory = { ...FIRST_MEMORY, isHurried: false };

function cursor(accountSince: string | null, deviceSince: string | null, unstored: string | null = null): PollCursor {
  const user = {
    userId: "@alice:test" as UserId,
    presenceSince: null,
    deviceId: "PHONE",
    keyUploads: 0,
    untouched: false,
    locked: false,
    restored: false,
  };
  return { ...user, profiles: { wanted: [], polled: [] }, accountSince, deviceSince, unstored };
}

describe("a room poller", () => {
  test("begins without a since and without waiting; the answer may repeat to-device messages", () => {
    const plan = planPoll(true, cursor(null, null), FIRST_MEMORY, "full");
    expect(plan).toEqual({ since: null, rooms: true, overlap: true, drain: false, timeout: 0, size: "full" });
  });

  test("continues with a long poll of the size that it is given", () => {
    const plan = planPoll(true, cursor("s", "s"), RELAXED, "short");
    expect(plan).toEqual({ since: "s", rooms: true, overlap: false, drain: false, timeout: 30_000, size: "short" });
  });

  test("continues from the end of answers that were not stored", () => {
    expect(planPoll(true, cursor("s", "s", "later"), RELAXED, "full").since).toBe("later");
  });

  test("before a take-over it polls without rooms, from the device's since, until two answers in a row had no to-device messages", () => {
    for (const emptyQueues of [0, 1]) {
      const plan = planPoll(true, cursor("rooms", "mine"), { ...RELAXED, emptyQueues }, "bare");
      expect(plan).toEqual({ since: "mine", rooms: false, overlap: false, drain: true, timeout: 0, size: "full" });
    }
    const plan = planPoll(true, cursor("rooms", "mine"), { ...RELAXED, emptyQueues: 2 }, "full");
    expect(plan).toEqual({ since: "rooms", rooms: true, overlap: true, drain: false, timeout: 0, size: "full" });
  });

  test("before a take-over, a device that never polled may get what is stored again", () => {
    expect(planPoll(true, cursor("rooms", null), RELAXED, "full")).toMatchObject({ since: null, drain: true, overlap: true });
  });
});

describe("a further device", () => {
  test("polls without rooms from its own since, always in full", () => {
    const plan = planPoll(false, cursor("rooms", "mine"), RELAXED, "bare");
    expect(plan).toEqual({ since: "mine", rooms: false, overlap: false, drain: false, timeout: 30_000, size: "full" });
  });

  test("at first, or in a hurry, it does not wait", () => {
    expect(planPoll(false, cursor("rooms", null), FIRST_MEMORY, "full")).toMatchObject({ since: null, overlap: true, timeout: 0 });
    expect(planPoll(false, cursor("rooms", "mine", "later"), FIRST_MEMORY, "full")).toMatchObject({ since: "later", timeout: 0 });
  });
});
