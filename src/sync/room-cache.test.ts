import { expect, test } from "vitest";
import type { EventRow } from "../store/event-row.ts";
import type { AccountNo, DeviceNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import { type RoomAsk, RoomCache } from "./room-cache.ts";

const room = "!a:test" as RoomId;
const row = (state_key: string | null, ts: number): EventRow => {
  const sender = "@bob:test" as UserId;
  return { room_id: room, event_id: `$${ts}` as EventId, type: "m.room.message", state_key, sender, body: "{}", unsigned: null, age_ts: null, ts };
};

/** At a time, in a room whose messages are shown for so long. */
function ask(now: number, lifetime: number | null): RoomAsk {
  const who = { account: 1 as AccountNo, device: 1 as DeviceNo, userId: "@me:test" as UserId, ignored: [] };
  return { ...who, now, roomId: room, sentSince: lifetime === null ? null : now - lifetime, changedOrd: 1, config: "" };
}

test("T4: a cached room is used until its oldest message expires; state events do not expire", () => {
  const cache = new RoomCache<{ events: EventRow[] }>(({ events }) => ({ timeline: events, others: [] }), 1);
  const reading = { events: [row("", 10), row(null, 1000)] };
  cache.set(ask(1100, 500), reading);
  expect(cache.get(ask(1500, 500))).toBe(reading);
  expect(cache.get(ask(1501, 500))).toBe(undefined);
});

test("T4: a cached room is not used if the lifetime is another one now, or none", () => {
  const cache = new RoomCache<{ events: EventRow[] }>(({ events }) => ({ timeline: events, others: [] }), 1);
  cache.set(ask(1100, 500), { events: [row(null, 1000)] });
  expect(cache.get(ask(1200, 900))).toBe(undefined);
  expect(cache.get(ask(1200, null))).toBe(undefined);
});
