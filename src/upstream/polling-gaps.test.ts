import { expect, test } from "vitest";
import type { AccountNo } from "../wire/ids.ts";
import { PollingGaps } from "./polling-gaps.ts";

const MINUTE = 60_000;

test("T3, T1: something is asked before the first answer is stored, and before and after the first one after 10 minutes without", async () => {
  let now = 0;
  const happened: string[] = [];
  const gaps = new PollingGaps(
    {
      now: () => now,
      leases: { polled: () => {} } as never,
      pollingGap: () => void happened.push("check"),
      restores: { choose: async () => void happened.push("choose") } as never,
    },
    1 as AccountNo,
  );
  const poll = async (ms: number) => {
    now += ms;
    await gaps.answered();
    happened.push("stored");
    gaps.succeeded();
  };
  await poll(0);
  await poll(9 * MINUTE);
  await poll(11 * MINUTE);
  await poll(0);
  expect(happened).toEqual(["choose", "stored", "stored", "choose", "stored", "check", "stored"]);
  expect(gaps.polledAt).toBe(20 * MINUTE);
});
