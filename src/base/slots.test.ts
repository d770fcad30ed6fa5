import { expect, test } from "vitest";
import { Slots } from "./slots.ts";

const never = new AbortController().signal;

test("a limited number run at a time, the others in order, and a slot is passed on whatever the outcome of its holder", async () => {
  const slots = new Slots(2);
  const ends: PromiseWithResolvers<void>[] = [];
  const begun: number[] = [];
  const all = Array.from({ length: 5 }, (_, n) =>
    slots.run(never, () => {
      begun.push(n);
      const end = Promise.withResolvers<void>();
      ends.push(end);
      return end.promise;
    }),
  );
  await expect.poll(() => begun).toEqual([0, 1]);
  ends[1]?.reject(new Error("no"));
  await expect(all[1]).rejects.toThrow("no");
  await expect.poll(() => begun).toEqual([0, 1, 2]);
  ends[0]?.resolve();
  await expect.poll(() => begun).toEqual([0, 1, 2, 3]);
  for (const end of ends) end.resolve();
  await expect.poll(() => begun).toEqual([0, 1, 2, 3, 4]);
  ends[4]?.resolve();
  await Promise.allSettled(all);
});

test("an aborted waiter stops waiting and takes no slot", async () => {
  const slots = new Slots(1);
  const end = Promise.withResolvers<string>();
  const first = slots.run(never, () => end.promise);
  const gone = new AbortController();
  const second = slots.run(gone.signal, async () => "second");
  const third = slots.run(never, async () => "third");
  gone.abort(new Error("gone"));
  await expect(second).rejects.toThrow("gone");
  end.resolve("first");
  expect(await Promise.all([first, third])).toEqual(["first", "third"]);
  await expect(slots.run(AbortSignal.abort(new Error("before")), async () => "never")).rejects.toThrow("before");
  expect(await slots.run(never, async () => "last")).toBe("last");
});
