import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RoomFacts, RoomFactsRow } from "../../store/room-facts.ts";
import type { RoomId } from "../../wire/ids.ts";
import { factsMatch, type ListFilters } from "./room-list-match.ts";
import { listSorts, sortRooms } from "./room-list-sort.ts";

const FACTS: RoomFacts = {
  is_dm: false,
  is_encrypted: false,
  joined_count: 1,
  invited_count: 0,
  notification_count: 0,
  highlight_count: 0,
  tags: {},
  sources: {},
};
const row = (id: string, facts: Partial<RoomFacts> = {}): RoomFactsRow => ({
  room_id: id as RoomId,
  membership: "join",
  facts: { ...FACTS, ...facts },
});
const order = (
  rows: RoomFactsRow[],
  sorts: unknown,
  last: Record<string, number> = {},
  spaceOrders: Record<string, { order: string | null; ts: number }> = {},
) =>
  sortRooms(rows, listSorts(sorts), { lastTs: (id) => last[id] ?? 0, spaceOrder: (id) => spaceOrders[id] }).then((sorted) =>
    sorted.map((r) => r.room_id),
  );

describe("S5: sorting", () => {
  it("R16: unknown sorts are dropped, none left is by_recency", async () => {
    expect(listSorts(undefined)).toEqual(["by_recency"]);
    expect(listSorts("by_name")).toEqual(["by_name"]);
    expect(listSorts(["by_magic", "by_name", "by_name", 5])).toEqual(["by_name"]);
    expect(listSorts(["by_magic"])).toEqual(["by_recency"]);
  });

  it("by_recency: newest first, the room id breaks ties", async () => {
    expect(await order([row("!c"), row("!a"), row("!b")], "by_recency", { "!a": 5, "!b": 9, "!c": 5 })).toEqual(["!b", "!a", "!c"]);
  });

  it("by_name: A first, Unicode-aware, nameless last", async () => {
    const rooms = [
      row("!1", { name: "zebra" }),
      row("!2", { name: "Äpfel" }),
      row("!3"),
      row("!4", { name: "apple" }),
      row("!5", { name: "Banana" }),
    ];
    expect(await order(rooms, "by_name")).toEqual(["!2", "!4", "!5", "!1", "!3"]);
  });

  it("counts: highest first, the first sort counts most", async () => {
    const rooms = [
      row("!a", { highlight_count: 0, notification_count: 9 }),
      row("!b", { highlight_count: 2, notification_count: 2 }),
      row("!c", { highlight_count: 2, notification_count: 3 }),
    ];
    expect(await order(rooms, ["by_highlight_count", "by_notification_count"])).toEqual(["!c", "!b", "!a"]);
    expect(await order(rooms, ["by_notification_count"])).toEqual(["!a", "!c", "!b"]);
  });

  it("by_space_order: order, then timestamp, then id", async () => {
    const spaceOrders = {
      "!a": { order: null, ts: 2 },
      "!b": { order: "b", ts: 9 },
      "!c": { order: "a", ts: 9 },
      "!d": { order: null, ts: 1 },
      "!e": { order: null, ts: 1 },
    };
    expect(
      await order(
        Object.keys(spaceOrders).map((id) => row(id)),
        "by_space_order",
        {},
        spaceOrders,
      ),
    ).toEqual(["!c", "!b", "!d", "!e", "!a"]);
  });

  it("is a permutation that does not depend on the order given", async () => {
    const rooms = fc.uniqueArray(
      fc.record({ id: fc.string({ minLength: 1, maxLength: 4 }), name: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }), n: fc.nat(3) }),
      {
        selector: (r) => r.id,
      },
    );
    await fc.assert(
      fc.asyncProperty(rooms, fc.subarray(["by_recency", "by_name", "by_highlight_count"]), async (list, sorts) => {
        const rows = list.map((r) => row(r.id, { ...(r.name !== undefined && { name: r.name }), highlight_count: r.n }));
        const sorted = await order(rows, sorts);
        expect(await order(rows.toReversed(), sorts)).toEqual(sorted);
        expect(sorted.toSorted()).toEqual(rows.map((r) => r.room_id).toSorted());
      }),
    );
  });
});

describe("S5: filters", () => {
  const match = (facts: Partial<RoomFacts>, filters: ListFilters) => factsMatch(filters)({ ...FACTS, ...facts });

  it("is_dm, is_encrypted", () => {
    expect(match({ is_dm: true }, { is_dm: true })).toBe(true);
    expect(match({ is_dm: true }, { is_dm: false })).toBe(false);
    expect(match({ is_encrypted: true }, { is_encrypted: false })).toBe(false);
  });

  it("tags: any of them; not_tags wins", () => {
    expect(match({ tags: { a: {} } }, { tags: ["a", "b"] })).toBe(true);
    expect(match({ tags: {} }, { tags: ["a"] })).toBe(false);
    expect(match({ tags: { a: {}, b: {} } }, { tags: ["a"], not_tags: ["b"] })).toBe(false);
    expect(match({ tags: {} }, { tags: ["toString"] })).toBe(false);
  });

  it("room_types: null is no type; not_room_types wins", () => {
    expect(match({}, { room_types: [null] })).toBe(true);
    expect(match({ room_type: "m.space" }, { room_types: [null] })).toBe(false);
    expect(match({ room_type: "m.space" }, { room_types: ["m.space"], not_room_types: ["m.space"] })).toBe(false);
  });

  it("room_name_like: a part of the name, in any case", () => {
    expect(match({ name: "Matrix HQ" }, { room_name_like: "x h" })).toBe(true);
    expect(match({}, { room_name_like: "x" })).toBe(false);
  });
});
