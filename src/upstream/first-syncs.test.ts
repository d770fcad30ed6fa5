import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AccountNo } from "../wire/ids.ts";
import { FirstSyncs } from "./first-syncs.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("the progress of a first sync is logged every ten seconds until it ends", async () => {
  const info = vi.fn<(names: unknown, text?: string) => void>();
  const syncs = new FirstSyncs({ info });
  const account = 1 as AccountNo;
  let end: (value: string) => void = () => {};
  const running = syncs.run(account, { account }, (received) => {
    received(1_500_000);
    return new Promise<string>((resolve) => (end = resolve));
  });
  expect(syncs.received(account)).toBe(1_500_000);
  vi.advanceTimersByTime(10_000);
  expect(info).toHaveBeenLastCalledWith({ account, seconds: 10, megabytes: 1.5 }, "The account's first sync is in progress");
  end("done");
  expect(await running).toBe("done");
  expect(syncs.received(account)).toBeNull();
  vi.advanceTimersByTime(60_000);
  expect(info).toHaveBeenCalledTimes(2);
});

test("a first sync that fails is over too", async () => {
  const syncs = new FirstSyncs({ info: () => {} });
  await expect(syncs.run(2 as AccountNo, {}, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(syncs.received(2 as AccountNo)).toBeNull();
  expect(vi.getTimerCount()).toBe(0);
});
