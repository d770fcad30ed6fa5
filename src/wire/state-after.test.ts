import { describe, expect, test } from "vitest";
import { ev } from "../../test/support/events.ts";
import type { RoomId } from "./ids.ts";
import { cutResponse } from "./v2-response.ts";

const ROOM = "!a:test" as RoomId;
const BOB = "@bob:test";

function cut(section: "join" | "leave", room: object) {
  return cutResponse(JSON.stringify({ next_batch: "s", rooms: { [section]: { [ROOM]: room } } }), 0);
}

describe("T21: state after a timeline (MSC4222)", () => {
  const [topic, name, message] = [ev.topic(BOB, "t"), ev.name(BOB, "n"), ev.message(BOB)];
  const timeline = { events: [message, topic] };

  test.each(["join", "leave"] as const)("under either name, in a room of %s; what is in the timeline stays there", (section) => {
    for (const key of ["state_after", "org.matrix.msc4222.state_after"]) {
      for (const room of [
        { timeline, [key]: { events: [topic, name] } },
        { [key]: { events: [topic, name] }, timeline },
      ]) {
        const { [section]: rooms, skipped } = cut(section, room);
        expect(rooms.get(ROOM)?.current).toEqual(new Set([topic.event_id, name.event_id]));
        expect(rooms.get(ROOM)?.state.map((event) => event.event_id)).toEqual([name.event_id]);
        expect(skipped).toEqual([]);
      }
    }
  });

  test("if a room has it, its `state` does not count; under both names it is read once", () => {
    const both = { state_after: { events: [name] }, "org.matrix.msc4222.state_after": { events: [name] } };
    const { join, skipped } = cut("join", { state: { events: [topic] }, ...both });
    expect(join.get(ROOM)?.state.map((event) => event.event_id)).toEqual([name.event_id]);
    expect(skipped).toEqual([]);
  });

  test("empty, it says that nothing has changed; absent or of another type, it says nothing", () => {
    for (const value of [{}, { events: [] }, { events: 1 }]) expect(cut("join", { state_after: value }).join.get(ROOM)?.current).toEqual(new Set());
    for (const room of [{}, { state: { events: [] } }, { state_after: null }, { state_after: [] }, { state_after: "x" }]) {
      expect(cut("join", room).join.get(ROOM)?.current).toBeNull();
    }
  });

  test("N6: what is malformed in it is left out, each alone", () => {
    const { join, skipped } = cut("join", { state_after: { events: [5, message, { ...topic, sender: 1 }, name, name] } });
    expect(join.get(ROOM)?.state.map((event) => event.event_id)).toEqual([name.event_id]);
    expect(skipped.map(({ where, reason }) => [where.split(".").at(-1), reason])).toEqual([
      ["events[0]", "not an object"],
      ["events[1]", "no state_key"],
      ["events[2]", "sender is missing"],
      ["events[4]", "double"],
    ]);
  });
});
