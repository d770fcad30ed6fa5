import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { Hub, type Wake } from "../feed/hub.ts";
import type { AccountNo } from "../wire/ids.ts";
import { Waiter } from "./waiter.ts";

const ACCOUNT = 1 as AccountNo;
const news: Wake = { type: "news", account: ACCOUNT, kinds: new Set(["typing"]) };
const other: Wake = { type: "news", account: ACCOUNT, kinds: new Set(["receipts"]) };

function waiter(stops: AbortSignal[] = []) {
  const hub = new Hub();
  const meaning = (wake: Wake) =>
    wake.type === "news" && wake.kinds?.has("typing") ? ("evaluate" as const) : wake.type === "session" ? ("superseded" as const) : null;
  return { hub, waiter: new Waiter(hub, ACCOUNT, meaning, stops) };
}

describe("waiting (D7)", () => {
  it("is ended by a wake-up that concerns it, not by others", async () => {
    const { hub, waiter: w } = waiter();
    const end = w.next(10_000);
    hub.publish(other);
    hub.publish(news);
    expect(await end).toBe("evaluate");
  });

  it("leaves no listener on signals that outlive it", async () => {
    const [client, server] = [new AbortController(), new AbortController()];
    const { hub, waiter: w } = waiter([client.signal, server.signal]);
    for (let i = 0; i < 3; i += 1) {
      const end = w.next(10_000);
      expect(getEventListeners(server.signal, "abort")).toHaveLength(1);
      hub.publish(news);
      await end;
    }
    await w.next(0);
    w.close();
    expect([client, server].flatMap(({ signal }) => getEventListeners(signal, "abort"))).toEqual([]);
  });

  it("remembers a wake-up that came between waits", async () => {
    const { hub, waiter: w } = waiter();
    hub.publish(news);
    expect(await w.next(10_000)).toBe("evaluate");
    expect(await w.next(0)).toBe("over");
  });

  it("a newer request counts more than news (D11)", async () => {
    const { hub, waiter: w } = waiter();
    hub.publish({ type: "session", account: ACCOUNT, session: 1 as never, request: "b" });
    hub.publish(news);
    expect(await w.next(0)).toBe("superseded");
  });

  it("ends when it is stopped, before or during", async () => {
    const before = AbortSignal.abort();
    expect(await waiter([before]).waiter.next(10_000)).toBe("over");
    const controller = new AbortController();
    const end = waiter([controller.signal]).waiter.next(10_000);
    controller.abort();
    expect(await end).toBe("over");
  });

  it("receives nothing after close", async () => {
    const { hub, waiter: w } = waiter();
    w.close();
    hub.publish(news);
    expect(await w.next(0)).toBe("over");
  });
});
