import { describe, expect, test } from "vitest";
import type { NamingHero, RoomNameSources } from "./room-name.ts";
import { computeRoomName } from "./room-name.ts";

const ME = "@me:a";
const hero = (displayname: string): NamingHero => ({ user_id: `@${displayname.toLowerCase()}:a`, displayname });
const [ALICE, BOB, CHARLIE, DORIS, EVE, FRANK] = ["Alice", "Bob", "Charlie", "Doris", "Eve", "Frank"].map(hero) as [
  NamingHero,
  NamingHero,
  NamingHero,
  NamingHero,
  NamingHero,
  NamingHero,
];

function name(heroes: readonly NamingHero[], joined: number, more: Partial<RoomNameSources> = {}): string | undefined {
  return computeRoomName({ heroes, joined, invited: 0, me: ME, ...more });
}

describe("a room with a name of its own", () => {
  test("is called by it", () => expect(name([BOB], 2, { name: "Tea", alias: "#tea:a" })).toBe("Tea"));
  test("is called by its alias where the name is empty", () => expect(name([BOB], 2, { name: "", alias: "#tea:a" })).toBe("#tea:a"));
  test("is called by its members where both are empty", () => expect(name([BOB], 2, { name: "", alias: "" })).toBe("Bob"));
});

describe("a room called by its heroes", () => {
  test.each<[string, NamingHero[], number]>([
    ["Bob", [BOB], 2],
    ["Alice and Bob", [ALICE, BOB], 3],
    ["Alice, Bob, and Charlie", [ALICE, BOB, CHARLIE], 4],
    ["Alice and 1 other", [ALICE], 3],
    ["Alice and 1234 others", [ALICE], 1236],
    ["Alice, Bob, and 1234 others", [ALICE, BOB], 1237],
    ["Alice, Bob, Charlie, Doris, and Eve", [ALICE, BOB, CHARLIE, DORIS, EVE], 6],
    ["Alice, Bob, Charlie, Doris, Eve, and 1 other", [ALICE, BOB, CHARLIE, DORIS, EVE, FRANK], 7],
    ["Empty room (was Bob)", [BOB], 1],
    ["Empty room (was Alice and Bob)", [ALICE, BOB], 0],
  ])("%s", (expected, heroes, joined) => {
    expect(name(heroes, joined)).toBe(expected);
  });

  test("counts invited members", () => {
    expect(name([BOB], 1, { invited: 1 })).toBe("Bob");
    expect(name([BOB], 1, { invited: 3 })).toBe("Bob and 2 others");
  });

  test("never counts below 0 if there are more heroes than members", () => expect(name([ALICE, BOB], 2)).toBe("Alice and Bob"));
  test("leaves the user out", () => expect(name([{ user_id: ME, displayname: "Me" }, BOB], 2)).toBe("Bob"));
  test("has no name without heroes", () => {
    expect(name([], 1)).toBeUndefined();
    expect(name([], 5)).toBeUndefined();
    expect(name([{ user_id: ME }], 1)).toBeUndefined();
  });

  test.each([undefined, ""])("uses the user id for a display name of %j", (displayname) => {
    expect(name([{ user_id: "@x:a", displayname }], 2)).toBe("@x:a");
  });

  test("distinguishes heroes with the same display name, and only those", () => {
    const other = { user_id: "@other:a", displayname: "Bob" };
    expect(name([BOB, ALICE, other], 4)).toBe("Bob (@bob:a), Alice, and Bob (@other:a)");
  });

  test("distinguishes a hero whose display name is another's user id", () => {
    expect(name([{ user_id: "@x:a" }, { user_id: "@y:a", displayname: "@x:a" }], 3)).toBe("@x:a and @x:a (@y:a)");
  });
});
