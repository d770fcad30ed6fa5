/** N10 in both dialects: at a bound a body is read, one above it is refused with the bound's name. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { listBody } from "../../../bench/sliding.ts";
import { elementEncryption, elementNotifications, elementRoomList } from "../../../test/support/sliding-requests.ts";
import type { Pattern } from "../pattern-set.ts";
import { MatrixError } from "../../wire/errors.ts";
import type { DeviceNo, UserId } from "../../wire/ids.ts";
import { requestBounds, scaleRequestBounds } from "../../wire/request-bounds.ts";
import { exclusionsOf } from "./exclusions.ts";
import { readUnstableRequest } from "./unstable-request.ts";
import { readV4Request } from "./v4-request.ts";

afterEach(() => scaleRequestBounds(1));

const device = 7 as DeviceNo;
const unstable = (body: object) => void readUnstableRequest(body, { device, userId: "@me:test" as UserId });
const v4 = (body: object) => void readV4Request(body, device);

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
const named = <T>(count: number, make: (index: number) => T) => Object.fromEntries(times(count, (index) => [`n${index}`, make(index)]));
const texts = (count: number) => times(count, (index) => `t${index}`);
const tuples = (count: number, prefix = "t") => times(count, (index) => [`${prefix}${index}`, ""]);
const V4_CONFIG = { timeline_limit: 1, required_state: {} };
const v4List = (over: object) => ({ lists: { a: { ...V4_CONFIG, ...over } } });
const include = (count: number, prefix = "t") => ({ include: times(count, (index) => ({ type: `${prefix}${index}` })) });

type Case = {
  readonly read: (body: object) => void;
  readonly bound: keyof ReturnType<typeof requestBounds>;
  /** What the error names. */
  readonly field: string;
  readonly body: (count: number) => object;
};

const FILTERS = ["tags", "not_tags", "room_types", "not_room_types", "spaces"];
const SCOPED = ["account_data", "receipts", "typing"];
const CASES: Case[] = [
  { read: unstable, bound: "lists", field: "lists", body: (n) => ({ lists: named(n, () => ({})) }) },
  { read: v4, bound: "lists", field: "lists", body: (n) => ({ lists: named(n, () => V4_CONFIG) }) },
  { read: v4, bound: "subscriptions", field: "room_subscriptions", body: (n) => ({ room_subscriptions: named(n, () => V4_CONFIG) }) },
  { read: unstable, bound: "ranges", field: "lists.a.ranges", body: (n) => ({ lists: { a: { ranges: times(n, () => [0, 1]) } } }) },
  { read: unstable, bound: "stateEntries", field: "lists.a.required_state", body: (n) => ({ lists: { a: { required_state: tuples(n) } } }) },
  {
    read: unstable,
    bound: "stateEntries",
    field: "room_subscriptions.!r.required_state",
    body: (n) => ({ room_subscriptions: { "!r": { required_state: tuples(n) } } }),
  },
  { read: v4, bound: "stateEntries", field: "lists.a.required_state", body: (n) => v4List({ required_state: include(n) }) },
  {
    read: v4,
    bound: "stateEntries",
    field: "lists.a.required_state",
    body: (n) => v4List({ required_state: { exclude: include(n).include } }),
  },
  {
    // Counted as what it is worked with: once for the inclusion, and once for each exclusion that narrows it.
    read: v4,
    bound: "stateEntries",
    field: "lists.a.required_state",
    body: (n) => v4List({ required_state: { include: [{}], exclude: times(n - 1, (index) => ({ type: `t${index}` })) } }),
  },
  {
    read: unstable,
    bound: "allStateEntries",
    field: "required_state",
    body: (n) => ({
      lists: named(8, (list) => ({ required_state: tuples(list < 7 ? 250 : n - 7 * 250 - 1, `${list}.`) })),
      room_subscriptions: { "!a": { required_state: tuples(1) }, "!b": { required_state: tuples(1) } },
    }),
  },
  {
    read: v4,
    bound: "allStateEntries",
    field: "required_state",
    body: (n) => ({
      lists: named(8, (list) => ({ ...V4_CONFIG, required_state: include(list < 7 ? 250 : n - 7 * 250, `${list}.`) })),
    }),
  },
  {
    read: unstable,
    bound: "stateCharacters",
    field: "required_state",
    body: (n) => ({ lists: { a: { required_state: [["x".repeat(n - '[["",""]]'.length), ""]] } } }),
  },
  ...FILTERS.flatMap((filter) => [
    {
      read: unstable,
      bound: "filterValues" as const,
      field: `lists.a.filters.${filter}`,
      body: (n: number) => ({ lists: { a: { filters: { [filter]: texts(n) } } } }),
    },
    {
      read: v4,
      bound: "filterValues" as const,
      field: `lists.a.filters.${filter}`,
      body: (n: number) => v4List({ filters: { [filter]: texts(n) } }),
    },
  ]),
  {
    read: unstable,
    bound: "nameCharacters",
    field: "lists.a.filters.room_name_like",
    body: (n) => ({ lists: { a: { filters: { room_name_like: "x".repeat(n) } } } }),
  },
  ...SCOPED.flatMap((extension) =>
    [unstable, v4].flatMap((read) => [
      { read, bound: "scopeLists" as const, field: `extensions.${extension}.lists`, body: (n: number) => scope(extension, { lists: texts(n) }) },
      { read, bound: "namedRooms" as const, field: `extensions.${extension}.rooms`, body: (n: number) => scope(extension, { rooms: texts(n) }) },
    ]),
  ),
  { read: unstable, bound: "namedRooms", field: "unsubscribe_rooms", body: (n) => ({ unsubscribe_rooms: texts(n) }) },
];

function scope(extension: string, names: object): object {
  return { extensions: { [extension]: { enabled: true, ...names } } };
}

describe("N10: bounds of a sliding sync request", () => {
  it.each(CASES.map((one) => [one.read === v4 ? "v4" : "unstable", one.bound, one.field, one] as const))(
    "N10: %s, %s: %s at the bound is read, one above is a 400 that names it",
    (_dialect, bound, field, { read, body }) => {
      const most = requestBounds()[bound];
      read(body(most));
      const refused = catching(() => read(body(most + 1)));
      expect([refused?.status, refused?.errcode]).toEqual([400, "M_INVALID_PARAM"]);
      expect(refused?.message).toContain(`${field}: at most ${most} `);
    },
  );

  it("N10: equal configs are one, however many lists and subscriptions have it", () => {
    const config = { required_state: tuples(requestBounds().stateEntries) };
    const { body } = readUnstableRequest(
      { lists: named(100, () => config), room_subscriptions: named(5000, () => config) },
      { device, userId: "@me:test" as UserId },
    );
    const configs = [...body.lists.values()].map((list) => list.config).concat([...body.subscriptions.values()]);
    expect(new Set(configs.map(({ requiredState }) => requiredState)).size).toBe(1);
  });

  it("N10: an include and an exclude of a megabyte are refused before they are multiplied", () => {
    const many = times(20_000, (index) => ({ type: `t${index}` }));
    const body = v4List({ required_state: { include: many, exclude: many.map(({ type }) => ({ state_key: type })) } });
    expect(catching(() => v4(body))?.message).toContain("lists.a.required_state: at most 500");
  });
});

describe("N10: with a tenth of every bound", () => {
  const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "../../../test/recordings/sliding-requests.json"), "utf8")) as {
    body: object;
  }[];
  const rooms = (count: number) => times(count, (index) => `!room${index}:test`);
  const sent: readonly (readonly [string, object])[] = [
    ...recorded.map(({ body }, index) => [`recording ${index}`, body] as const),
    ["Element X's list", elementRoomList(1000, rooms(200))],
    ["Element X's keys", elementEncryption("1")],
    ["Element X's notifications", elementNotifications(rooms(200))],
    ["the bench's list", listBody("bench", 999)],
  ];

  it.each(sent)("N10: %s is read", (_name, body) => {
    scaleRequestBounds(0.1);
    expect(() => unstable(body)).not.toThrow();
  });
});

describe("N10: which exclusions narrow which inclusion", () => {
  const pattern: fc.Arbitrary<Pattern> = fc.record({ type: fc.constantFrom("a", "b"), key: fc.constantFrom("", "k") }, { requiredKeys: [] });
  const fits = (one: Pattern, type: string, key: string) =>
    (one.type === undefined || one.type === type) && (one.key === undefined || one.key === key);

  it("N10: what is left of an inclusion is what all exclusions leave", () => {
    fc.assert(
      fc.property(pattern, fc.array(pattern, { maxLength: 5 }), (included, excluded) => {
        const narrowing = exclusionsOf(excluded).narrowing(included);
        for (const type of ["a", "b", "c"]) {
          for (const key of ["", "k", "l"]) {
            const expected = fits(included, type, key) && !excluded.some((one) => fits(one, type, key));
            const left = narrowing !== "all" && fits(included, type, key) && !narrowing.some((one) => fits(one, type, key));
            expect(left, `${type} ${key}`).toBe(expected);
          }
        }
      }),
    );
  });
});

function catching(read: () => void): MatrixError | null {
  try {
    read();
    return null;
  } catch (error) {
    if (error instanceof MatrixError) return error;
    throw error;
  }
}
