import { expect, onTestFinished, test, vi } from "vitest";
import { silentLogger } from "../base/logger.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { Bus, BusEvents } from "./bus.ts";
import type { Wake } from "./hub.ts";
import { SharedFeed } from "./shared-feed.ts";

const account = 7 as AccountNo;
const news: Wake = { type: "news", account, kinds: new Set(["timeline"]) };
const newer: Wake = { type: "connection", account, device: 1 as DeviceNo, name: "n", request: "r" };

/** One end of a shared line. What it sends can be made to get lost, with or without it noticing. */
class TestBus implements Bus {
  cut: "no" | "noticed" | "unnoticed" = "no";
  events: BusEvents | null = null;
  readonly #ends: Set<BusEvents>;
  readonly #said: string[];

  constructor(ends: Set<BusEvents>, said: string[]) {
    this.#ends = ends;
    this.#said = said;
  }

  async start(events: BusEvents): Promise<void> {
    this.events = events;
    this.#ends.add(events);
  }

  async send(texts: readonly string[]): Promise<void> {
    if (this.cut === "noticed") throw new Error("it is cut");
    if (this.cut === "unnoticed") return;
    this.#said.push(...texts);
    for (const text of texts) for (const end of this.#ends) end.received(text);
  }

  async close(): Promise<void> {
    if (this.events) this.#ends.delete(this.events);
  }
}

/** Two feeds on one line, and the wake-ups that the second one's listeners get. */
async function two() {
  const [ends, said]: [Set<BusEvents>, string[]] = [new Set(), []];
  const buses = [new TestBus(ends, said), new TestBus(ends, said)] as const;
  const [here, there] = [new SharedFeed(buses[0], silentLogger()), new SharedFeed(buses[1], silentLogger())];
  await here.start();
  await there.start();
  onTestFinished(async () => {
    await here.close();
    await there.close();
  });
  const told: Wake[] = [];
  there.subscribe(account, (wake) => void told.push(wake));
  return { bus: buses[0], here, there, told, said };
}

test("a wake-up published in one process reaches the listeners of both, once", async () => {
  const { here, told } = await two();
  const own: Wake[] = [];
  here.subscribe(account, (wake) => void own.push(wake));
  here.publish(news);
  here.publish(newer);
  await vi.waitUntil(() => told.length === 2, 10_000);
  expect(told).toEqual([news, newer]);
  expect(own).toEqual([news, newer]);
});

test.each(["noticed", "unnoticed"] as const)("what got lost on the way out (%s) wakes everybody at the other once the line holds", async (cut) => {
  const { bus, here, told } = await two();
  bus.cut = cut;
  here.publish(news);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  expect(told).toEqual([]);
  bus.cut = "no";
  if (cut === "noticed") here.publish({ ...news, account: 8 as AccountNo });
  else bus.events?.back();
  await vi.waitUntil(() => told.length > 0, 10_000);
  expect(told).toEqual([{ type: "news", account }]);
});

test("a process that listens again wakes everyone, but not with every message", async () => {
  const { bus, here } = await two();
  const told: Wake[] = [];
  here.subscribe(account, (wake) => void told.push(wake));
  for (let i = 0; i < 5; i += 1) bus.events?.back();
  expect(told).toEqual([{ type: "news", account }]);
  await vi.waitUntil(() => told.length === 2, 5000);
});

test("a process that knows it is alone does not announce newer requests", async () => {
  const clock = vi.spyOn(performance, "now");
  onTestFinished(() => clock.mockRestore());
  const said: string[] = [];
  const alone = new SharedFeed(new TestBus(new Set(), said), silentLogger());
  await alone.start();
  alone.publish(newer);
  await vi.waitUntil(() => said.length === 2, 10_000);
  clock.mockReturnValue(performance.now() + 60_000);
  alone.publish(newer);
  alone.publish(news);
  await vi.waitUntil(() => said.length === 3, 10_000);
  expect(said[2]).toContain("timeline");
  await alone.close();
});
