/** Rooms and invites that the homeserver no longer has, and never said so (T1). */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ev, newRoom } from "./support/events.ts";
import { type Json, v2 } from "./support/fake-homeserver.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { startV3, type V3Client, type V3Fixture } from "./support/v3.ts";

const ME = "@alice:test";
const GONE = "!gone:test";
const KEPT = "!kept:test";
const LISTS = { lists: { all: { ranges: [[0, 9]] as [number, number][], state: [["m.room.member", "$ME"] as [string, string]], limit: 5 } } };

let t: V3Fixture;
/** By room, the membership that the homeserver answers; absent: 403. */
let memberships: Record<string, string>;
beforeEach(async () => {
  t = await startV3({ supervision: { checkMs: 50, secondLookMs: 0 } });
  memberships = {};
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/state/m.room.member/:user", ({ params }) => {
    const membership = memberships[params["room"] ?? ""];
    return membership === undefined ? { status: 403, body: { errcode: "M_FORBIDDEN", error: "not in room" } } : { body: { membership } };
  });
});
afterEach(() => t.stop());

const listing = (...rooms: string[]) => t.hs.on("GET", "/_matrix/client/v3/joined_rooms", { body: { joined_rooms: rooms } });
const inRooms = (...rooms: string[]) => v2({ join: Object.fromEntries(rooms.map((room) => [room, { timeline: newRoom(ME) }])) });

/** Has the accounts' rooms compared now; resolves when that was done, second looks too. */
async function check(): Promise<void> {
  await t.sql`update leases set polled_at = now()`;
  await t.sql`update accounts set check_at = now(), checked_at = null`;
  await expect.poll(() => t.sql`select from accounts where checked_at is null`).toEqual([]);
  await expect.poll(() => t.sql`select from doubted_rooms`).toEqual([]);
}

const storedMemberships = async () => {
  const rows = await t.sql<{ room_id: string; membership: string }[]>`
    select room_id, membership from room_facts where to_ord = 9223372036854775807 order by room_id`;
  return Object.fromEntries(rows.map((row) => [row.room_id, row.membership]));
};

describe("T1: a room that the homeserver no longer has", () => {
  it.each(DIALECTS)("T1: %s: a live connection is told of a leave that no timeline has, and a new one nothing", async (dialect) => {
    const alice = t.login(ME, "PHONE", inRooms(GONE, KEPT));
    const sliding = new SlidingClient(alice, dialect);
    const first = await sliding.sync(LISTS);
    expect(first.lists["all"]?.count).toBe(2);
    listing(KEPT);
    await check();
    const next = await sliding.sync(LISTS, { pos: first.pos, timeout: 20_000 });
    const room = next.rooms[GONE] as { required_state: Json[]; timeline?: Json[]; membership?: string };
    expect(room.required_state).toEqual([
      expect.objectContaining({ type: "m.room.member", state_key: ME, sender: ME, content: { membership: "leave" } }),
    ]);
    expect(room.required_state[0]?.["event_id"]).toMatch(/^\$[\w-]{43}$/);
    expect(room.required_state[0]?.["unsigned"]).toMatchObject({ "syncv3.made": true });
    expect(room.timeline ?? []).toEqual([]);
    if (dialect === "v4") expect(room.membership).toBe("leave");
    // The list has the room in this answer for the last time (M9).
    expect((await sliding.sync(LISTS, { pos: next.pos })).lists["all"]?.count).toBe(1);
    const fresh = await sliding.sync({ ...LISTS, connId: "fresh" });
    expect(Object.keys(fresh.rooms)).toEqual([KEPT]);
  });

  it("T1: sync v3: a live session is told that the room was left, and a new one nothing", async () => {
    const alice = t.login(ME, "PHONE", inRooms(GONE, KEPT));
    const asked = { room_list: { state_events: [["m.room.member", ME]], timeline_limit: 5 } };
    const first = await alice.sync(asked);
    listing(KEPT);
    await check();
    const next = await alice.sync({}, { since: first.next, timeout: 20_000 });
    expect(JSON.stringify(next["room_list"])).toContain(GONE);
    expect(JSON.stringify(next["room_list"])).toContain('"syncv3.made":true');
    const fresh = await alice.sync(asked);
    expect(JSON.stringify(fresh)).not.toContain(GONE);
    expect(JSON.stringify(fresh)).toContain(KEPT);
  });

  it.each([
    ["its own membership says otherwise", async () => void (memberships[GONE] = "join")],
    [
      "a v2 answer names it meanwhile",
      async (alice: V3Client) => t.deliver(alice, v2({ join: { [GONE]: { timeline: [ev.message("@bob:test")] } } })),
    ],
  ])("T1: it stays where %s", async (_why, happen) => {
    const alice = t.login(ME, "PHONE", inRooms(GONE, KEPT));
    await alice.sync({ room_list: {} });
    listing(KEPT);
    // The first look, before it happens.
    const position = (await t.sql`select account, position from accounts`)[0];
    await happen(alice);
    await t.sql`insert into doubted_rooms (account, room_id, position) values (${position?.["account"]}, ${GONE}, ${position?.["position"]})`;
    await t.sql`update leases set polled_at = now()`;
    await expect.poll(() => t.sql`select from doubted_rooms`).toEqual([]);
    expect(await storedMemberships()).toEqual({ [GONE]: "join", [KEPT]: "join" });
  });

  it("T1: all rooms at once stay where a sync without since has them", async () => {
    const alice = t.login(ME, "PHONE", inRooms(GONE, KEPT));
    await alice.sync({ room_list: {} });
    listing();
    t.hs.forget();
    await check();
    expect(await storedMemberships()).toEqual({ [GONE]: "join", [KEPT]: "join" });
    const whole = t.hs.polls(alice.token).filter(({ query }) => !query.has("since"));
    expect(whole).toHaveLength(1);
    // Not again within a day.
    await check();
    expect(t.hs.polls(alice.token).filter(({ query }) => !query.has("since"))).toHaveLength(1);
    expect(await storedMemberships()).toEqual({ [GONE]: "join", [KEPT]: "join" });
  });

  it("T1: all rooms at once end where it agrees", async () => {
    const alice = t.login(ME, "PHONE", v2());
    await alice.sync({ room_list: {} });
    await t.deliver(alice, inRooms(GONE, KEPT));
    listing();
    await check();
    expect(await storedMemberships()).toEqual({ [GONE]: "leave", [KEPT]: "leave" });
  });

  it("T1: the homeserver's 403 to a send has the rooms checked soon", async () => {
    const alice = t.login(ME, "PHONE", inRooms(GONE, KEPT));
    await alice.sync({ room_list: {} });
    listing(KEPT);
    await check();
    await t.sql`update accounts set checked_at = null`;
    await t.restart();
    t.hs.on("PUT", "/_matrix/client/v3/rooms/:room/send/:type/:txn", { status: 403, body: { errcode: "M_FORBIDDEN", error: "not in room" } });
    expect((await alice.fetch("PUT", `/_matrix/client/v3/rooms/${GONE}/send/m.room.message/1`, "{}")).status).toBe(403);
    await expect.poll(() => t.sql`select from accounts where check_at < now() + interval '16 seconds'`).toHaveLength(1);
  });
});

it("T1: invites that the homeserver no longer has end, and those that it never told of come", async () => {
  const invite = (sender: string) => [ev.member(sender), ev.member(ME, "invite", { sender })];
  const alice = t.login(ME, "PHONE", v2({ invite: { "!untold:test": invite("@bob:test") } }));
  await alice.sync({ invites: {} });
  await t.deliver(alice, v2({ invite: { [GONE]: invite("@bob:test") }, leave: { "!untold:test": { timeline: [ev.member(ME, "leave")] } } }));
  const session = await alice.sync({ invites: {} });
  expect(JSON.stringify(session)).toContain(GONE);
  listing();
  // The homeserver's answer without since is still the first one.
  await check();
  const fresh = JSON.stringify(await alice.sync({ invites: {} }));
  expect([fresh.includes(GONE), fresh.includes("!untold:test")]).toEqual([false, true]);
  const next = JSON.stringify(await alice.sync({}, { since: session.next, timeout: 20_000 }));
  expect(next).toContain("!untold:test");
});
