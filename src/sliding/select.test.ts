import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AccountRoom } from "../store/account-rooms.ts";
import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import { requestBounds, scaleRequestBounds } from "../wire/request-bounds.ts";
import { LIVE, NOTHING_SENT } from "./connection-state.ts";
import type { Range, RoomConfig, SlidingFilters } from "./request.ts";
import { NO_STATE } from "./required-state.ts";
import { inScope, selectRooms, type Selection } from "./select.ts";

const CONFIG: RoomConfig = { timelineLimit: 1, requiredState: NO_STATE };

type Parts = Partial<Omit<AccountRoom, "facts">> & { readonly dm?: boolean; readonly tag?: string };
const memberships = ["join", "invite", "knock", "leave", "ban"] as const;
const parts: fc.Arbitrary<Parts> = fc.record({
  membership: fc.constantFrom(...memberships),
  kicked: fc.boolean(),
  everJoined: fc.boolean(),
  dm: fc.boolean(),
  tag: fc.constantFrom("u.x", "u.y"),
});

function roomOf(index: number, { dm = false, tag = "u.x", ...over }: Parts): AccountRoom {
  const facts = { is_dm: dm, is_encrypted: false, joined_count: 1, invited_count: 0, notification_count: 0, highlight_count: 0, sources: {} };
  return {
    roomId: `!${index}:test` as RoomId,
    membership: "join",
    factsOrd: 1,
    changedOrd: 1,
    membershipOrd: 1,
    activeOrd: 1000 - index,
    bumpOrd: 1,
    kicked: false,
    everJoined: true,
    inviter: null,
    endedOrd: 0,
    purged: false,
    ...over,
    facts: { ...facts, tags: { [tag]: {} } },
  };
}

async function select(
  rooms: readonly AccountRoom[],
  asked: { readonly ranges: readonly Range[] | null; readonly filters?: SlidingFilters; readonly subs?: readonly string[] },
  sent: readonly RoomId[] = [],
): Promise<Selection> {
  const record = { sent: { events: LIVE }, limit: 1, config: -1, lazy: [] };
  const selection = await selectRooms(
    {
      // Spaces alone need the database.
      tx: null,
      account: 1 as AccountNo,
      rooms: { position: 9 as Position, byId: new Map(rooms.map((room) => [room.roomId, room])), sorted: rooms },
      ignored: [],
      state: { ...NOTHING_SENT, rooms: new Map(sent.map((roomId) => [roomId, record])) },
      from: 5,
      joinedRooms: null,
      sought: new Set(),
    },
    {
      lists: new Map([["l", { ranges: asked.ranges, filters: asked.filters ?? {}, config: CONFIG }]]),
      subscriptions: new Map((asked.subs ?? []).map((roomId) => [roomId as RoomId, CONFIG])),
    },
  );
  if (!selection) throw new Error("No list names a space");
  return selection;
}

const range = fc.tuple(fc.nat(8), fc.nat(8)).map(([a, b]): Range => [Math.min(a, b), Math.max(a, b)]);

describe("windows", () => {
  it("M11: are slices of the filtered list, counted in full, in its order; what is in none is not chosen", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(parts, { maxLength: 8 }),
        fc.array(range, { maxLength: 3 }),
        fc.option(fc.boolean(), { nil: undefined }),
        async (all, ranges, isDm) => {
          const rooms = all.map((one, index) => roomOf(index, one));
          const full = await select(rooms, { ranges: null, filters: isDm === undefined ? {} : { isDm } });
          const listed = full.lists.get("l")?.windows[0]?.rooms ?? [];
          const found = await select(rooms, { ranges, filters: isDm === undefined ? {} : { isDm } });
          expect(found.lists.get("l")).toEqual({
            count: listed.length,
            windows: ranges.map((each) => ({ range: each, rooms: listed.slice(each[0], each[1] + 1) })),
          });
          expect(new Set(found.chosen.keys())).toEqual(new Set(ranges.flatMap(([from, to]) => listed.slice(from, to + 1))));
          expect(listed).toEqual(rooms.map((room) => room.roomId).filter((id) => listed.includes(id)));
        },
      ),
    );
  });

  it("M9: contain rooms that the user is in, invited to or thrown out of, and those that were left until the leave is sent", async () => {
    const isListed = async (over: Parts, sent = false) => {
      const room = roomOf(1, over);
      return (await select([room], { ranges: null }, sent ? [room.roomId] : [])).chosen.size === 1;
    };
    for (const membership of ["join", "invite", "knock"] as const) expect(await isListed({ membership, everJoined: false })).toBe(true);
    expect(await isListed({ membership: "ban" })).toBe(true);
    expect(await isListed({ membership: "ban", everJoined: false })).toBe(false);
    expect(await isListed({ membership: "leave", kicked: true })).toBe(true);
    expect(await isListed({ membership: "leave" })).toBe(false);
    expect(await isListed({ membership: "leave", membershipOrd: 9 }, true)).toBe(true);
    expect(await isListed({ membership: "leave", membershipOrd: 5 }, true)).toBe(false);
  });
});

describe("N10: rooms in all windows together", () => {
  it("N10: at the bound they are sent, one above is a 400 that names it", async () => {
    scaleRequestBounds(1 / 50_000);
    const rooms = [0, 1, 2].map((index) => roomOf(index, {}));
    const most = requestBounds().listedRooms;
    const ranges = (last: number): Range[] =>
      [
        [0, 2],
        [0, last],
      ].map(([from = 0, to = 0]) => [from, to]);
    expect(most).toBe(4);
    expect((await select(rooms, { ranges: ranges(0) })).chosen.size).toBe(3);
    await expect(select(rooms, { ranges: ranges(1) })).rejects.toMatchObject({
      status: 400,
      errcode: "M_INVALID_PARAM",
      message: "lists: at most 4 rooms in all windows together",
    });
    scaleRequestBounds(1);
  });
});

describe("subscriptions and scopes", () => {
  it("M19 M21: a subscription chooses what the user may see, beside a list or alone", async () => {
    const rooms = [roomOf(0, {}), roomOf(1, { membership: "leave" }), roomOf(2, { membership: "ban", everJoined: false })];
    const { chosen } = await select(rooms, { ranges: [[0, 0]], subs: ["!0:test", "!1:test", "!2:test", "!none:test"] });
    expect([...chosen].map(([roomId, { lists, subscribed }]) => [roomId, lists, subscribed])).toEqual([
      ["!0:test", ["l"], true],
      ["!1:test", [], true],
    ]);
  });

  it("M45: a room is in an extension's scope by a list's window or by its subscription", async () => {
    const { chosen } = await select([roomOf(0, {}), roomOf(1, {})], { ranges: [[0, 0]], subs: ["!1:test"] });
    const scoped = (lists: readonly string[] | "all", rooms: readonly string[] | "all") => {
      const scope = { lists: lists === "all" ? lists : new Set(lists), rooms: rooms === "all" ? rooms : new Set(rooms) };
      return [...chosen.values()].filter((choice) => inScope(scope, choice)).map((choice) => choice.room.roomId);
    };
    expect(scoped("all", "all")).toEqual(["!0:test", "!1:test"]);
    expect(scoped([], [])).toEqual([]);
    expect(scoped(["l"], [])).toEqual(["!0:test"]);
    expect(scoped(["other"], ["!1:test"])).toEqual(["!1:test"]);
    expect(scoped(["other"], ["!0:test"])).toEqual([]);
  });
});
