import { describe, expect, test } from "vitest";

import { ev, newRoom } from "../../../test/support/events.ts";
import type { MatrixEvent } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import type { LearnResult } from "./learn-members.ts";
import { learnMembers } from "./learn-members.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

function learn(at: number, members: readonly MatrixEvent[]): Promise<LearnResult> {
  const memberEventTexts = members.map((event) => JSON.stringify({ ...event, room_id: ROOM }));
  return learnMembers({ sql: me.sql }, { account: me.account, roomId: ROOM as RoomId, at: at as Position, memberEventTexts, now: me.now });
}

describe("a fetched member list", () => {
  test("the first list is learned: each change has an ordinal, known members stay", async () => {
    const state = newRoom(me.me);
    const own = state[1] as MatrixEvent;
    const at = await me.step({ join: { [ROOM]: { state, timeline: [ev.message(BOB)] } } });
    const [bob, eve] = [ev.member(BOB), ev.member("@eve:test", "leave")];
    expect(await learn(at, [own, bob, eve])).toEqual({ position: at + 3, changed: 2 });
    expect(await me.members(ROOM)).toEqual({
      [me.me]: { membership: "join", was: null, learned: true, id: own.event_id },
      [BOB]: { membership: "join", was: null, learned: true, id: bob.event_id },
      "@eve:test": { membership: "leave", was: null, learned: true, id: eve.event_id },
    });
    expect((await me.room(ROOM)).members).toBe("complete");
    // The homeserver never sent counts: now the members are counted.
    expect(await me.facts(ROOM)).toMatchObject({ joined_count: 2, name: BOB });
    expect(await learn(at + 3, [own, bob, eve])).toEqual({ position: at + 3, changed: 0 });
    // From then on what the state block has counts as a change.
    const dan = ev.member("@dan:test");
    await me.step({ join: { [ROOM]: { state: [dan], timeline: [ev.message("@dan:test")] } } });
    expect((await me.members(ROOM))["@dan:test"]?.learned).toBe(false);
  });

  test("changes since the request are newer; members who are not in the list are gone", async () => {
    const state = [...newRoom(me.me), ev.member(BOB), ev.member("@eve:test"), ev.member("@dan:test")];
    const own = state[1] as MatrixEvent;
    const at = await me.step({ join: { [ROOM]: { state, timeline: [ev.message(BOB)] } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.member(BOB, "leave"), ev.member("@new:test")] } } });
    const result = await learn(at, [own, state[4] as MatrixEvent, state[6] as MatrixEvent]);
    expect(result.changed).toBe(1);
    expect(await me.memberships(ROOM)).toEqual({ [me.me]: "join", [BOB]: "leave", "@dan:test": "join", "@new:test": "join" });
    expect((await me.room(ROOM)).members).toBe("complete");
  });

  test("after a gap during the request the list stays stale; the next list's differences are changes", async () => {
    const state = [...newRoom(me.me), ev.member(BOB)];
    const own = state[1] as MatrixEvent;
    const at = await me.step({ join: { [ROOM]: { state, timeline: [ev.message(BOB)] } } });
    await learn(at, [own, state[4] as MatrixEvent]);
    const asked = await me.position();
    const gapped = await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", timeline: [ev.message(me.me)] } } });
    await learn(asked, [own, state[4] as MatrixEvent]);
    expect((await me.room(ROOM)).members).toBe("stale");
    const left = ev.member(BOB, "leave");
    await learn(gapped, [own, left]);
    expect((await me.room(ROOM)).members).toBe("complete");
    expect((await me.members(ROOM))[BOB]).toEqual({ membership: "leave", was: "join", learned: false, id: left.event_id });
  });

  test("an unknown room changes nothing", async () => {
    const at = await me.step({});
    expect(await learn(at, [ev.member(BOB)])).toEqual({ position: at, changed: 0 });
  });
});
