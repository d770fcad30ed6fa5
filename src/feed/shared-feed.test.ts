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
  readonly #sent: string[];

  constructor(ends: Set<BusEvents>, sent: string[]) {
    this.#ends = ends;
    this.#sent = sent;
  }

  async start(events: BusEvents): Promise<void> {
    this.events = events;
    this.#ends.add(events);
  }

  async send(texts: readonly string[]): Promise<void> {
    if (this.cut === "noticed") throw new Error("it is cut");
    if (this.cut === "unnoticed") return;
    this.#sent.push(...texts);
    for (const text of texts) for (const end of this.#ends) end.received(text);
  }

  async close(): Promise<void> {
    if (this.events) this.#ends.delete(this.events);
  }
}

/** Two feeds on one line, and the wake-ups that the second one's listeners get. */
async function two() {
  const [ends, sent]: [Set<BusEvents>, string[]] = [new Set(), []];
  const buses = [new TestBus(ends, sent), new TestBus(ends, sent)] as const;
  const [here, there] = [new SharedFeed(buses[0], silentLogger()), new SharedFeed(buses[1], silentLogger())];
  await here.start();
  await there.start();
  onTestFinished(async () => {
    await here.close();
    await there.close();
  });
  const wakes: Wake[] = [];
  there.subscribe(account, (wake) => void wakes.push(wake));
  return { bus: buses[0], here, there, wakes, sent };
}

test("a wake-up published in one process reaches the listeners of both, once", async () => {
  const { here, wakes } = await two();
  const own: Wake[] = [];
  here.subscribe(account, (wake) => void own.push(wake));
  here.publish(news);
  here.publish(newer);
  await vi.waitUntil(() => wakes.length === 2, 10_000);
  expect(wakes).toEqual([news, newer]);
  expect(own).toEqual([news, newer]);
});

test.each(["noticed", "unnoticed"] as const)("what got lost on the way out (%s) wakes everybody at the other once the line holds", async (cut) => {
  const { bus, here, wakes } = await two();
  bus.cut = cut;
  here.publish(news);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  expect(wakes).toEqual([]);
  bus.cut = "no";
  if (cut === "noticed") here.publish({ ...news, account: 8 as AccountNo });
  else bus.events?.back();
  await vi.waitUntil(() => wakes.length > 0, 10_000);
  expect(wakes).toEqual([{ type: "news", account }]);
});

test("a process that listens again wakes everyone, but not with every message", async () => {
  const { bus, here } = await two();
  const wakes: Wake[] = [];
  here.subscribe(account, (wake) => void wakes.push(wake));
  for (let i = 0; i < 5; i += 1) bus.events?.back();
  expect(wakes).toEqual([{ type: "news", account }]);
  await vi.waitUntil(() => wakes.length === 2, 5000);
});

test("a process that knows it is alone does not announce newer requests", async () => {
  const clock = vi.spyOn(performance, "now");
  onTestFinished(() => clock.mockRestore());
  const sent: string[] = [];
  const alone = new SharedFeed(new TestBus(new Set(), sent), silentLogger());
  await alone.start();
  alone.publish(newer);
  await vi.waitUntil(() => sent.length === 2, 10_000);
  clock.mockReturnValue(performance.now() + 60_000);
  alone.publish(newer);
  alone.publish(news);
  await vi.waitUntil(() => sent.length === 3, 10_000);
  expect(sent[2]).toContain("timeline");
  await alone.close();
});
