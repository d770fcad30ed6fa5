import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

test("N10: work of one owner runs in order, one piece at a time, after failures too; other owners do not wait", async () => {
  const turns = new Turns<string>();
  const log: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const ask = (owner: string, name: string) =>
    turns.run(owner, async () => {
      log.push(name);
      const gate = Promise.withResolvers<void>();
      gates.set(name, gate);
      await gate.promise;
      return name;
    });
  const [first, second, third, other] = [ask("a", "a1"), ask("a", "a2"), ask("a", "a3"), ask("b", "b1")];
  await Promise.resolve();
  expect(log).toEqual(["a1", "b1"]);
  gates.get("a1")?.reject(new Error("broken"));
  await expect(first).rejects.toThrow("broken");
  await expect.poll(() => log).toEqual(["a1", "b1", "a2"]);
  gates.get("a2")?.resolve();
  expect(await second).toBe("a2");
  await expect.poll(() => log).toEqual(["a1", "b1", "a2", "a3"]);
  for (const gate of gates.values()) gate.resolve();
  expect(await Promise.all([third, other])).toEqual(["a3", "b1"]);
  await expect.poll(() => turns.size).toBe(0);
});
