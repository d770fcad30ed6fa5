import { describe, expect, test } from "vitest";

import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import { ev, type MatrixEvent, newRoom, toDevice } from "../../../test/support/events.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

const replacing = (event: MatrixEvent, replaced: string): MatrixEvent => ({ ...event, unsigned: { replaces_state: replaced } });
const topicAt = async (ord: number) => (await me.state(ROOM, ord))["m.room.topic|"];
const ordsOf = async () => (await me.timeline(ROOM)).map((row) => row.ord);

describe("T21: rooms with the state after their timeline", () => {
  test("the state before a timeline after a gap is what it says was replaced, or unknown; not what was stored before the gap", async () => {
    const [before, later] = [ev.topic(BOB, "before"), ev.topic(BOB, "later")];
    const member = ev.member(BOB, "join", { displayname: "before" });
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), before, member] } } });
    const gone = replacing(ev.member(BOB, "leave"), "$in-the-gap");
    const timeline = [ev.message(BOB), replacing(later, "$in-the-gap"), gone];
    await me.step({ join: { [ROOM]: { timeline, limited: true, state_after: [later, gone] } } });
    const [message = 0, changed = 0] = (await ordsOf()).slice(-3);
    expect([await topicAt(message), await topicAt(changed)]).toEqual([undefined, later.event_id]);
    expect([await me.memberships(ROOM, message), await me.memberships(ROOM)]).toEqual([{ [me.me]: "join" }, { [me.me]: "join", [BOB]: "leave" }]);
    const last = ev.topic(BOB, "last");
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB), replacing(last, later.event_id)], limited: true, state_after: [last] } } });
    expect(await topicAt((await ordsOf()).at(-2) ?? 0)).toBe(later.event_id);
  });

  test("joined again: what is stored stays where the timeline says that it was replaced", async () => {
    const topic = ev.topic(BOB, "before");
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(BOB), ev.member(me.me), topic] } } });
    await me.step({ leave: { [ROOM]: { timeline: [ev.member(me.me, "leave")], state_after: [] } } });
    const [again, changed] = [ev.member(me.me), ev.topic(BOB, "changed")];
    const state_after = [...newRoom(BOB), again, changed];
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB), replacing(changed, topic.event_id), again], limited: true, state_after } } });
    const [message = 0] = (await ordsOf()).slice(-3);
    expect([await topicAt(message), await topicAt(await me.position())]).toEqual([topic.event_id, changed.event_id]);
  });

  test("a full room's members that lazy loading left out of the state after it count by their events", async () => {
    const [joined, gone] = [ev.member(BOB), ev.member(BOB, "leave", {}, { sender: "@mod:test" })];
    const state_after = [...newRoom("@mod:test"), ev.member(me.me)];
    await me.step({ join: { [ROOM]: { state_after, timeline: [joined, gone] } } });
    expect((await me.memberships(ROOM))[BOB]).toBe("leave");
  });

  test("an event of the timeline that came before counts if the state after it has it now", async () => {
    const [topic, other] = [ev.topic(BOB, "one"), ev.topic(BOB, "two")];
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    await me.step({ join: { [ROOM]: { timeline: [topic, other], state_after: [other] } } });
    await me.step({ join: { [ROOM]: { timeline: [topic, other, ev.message(BOB)], state_after: [topic] } } });
    expect(await topicAt(await me.position())).toBe(topic.event_id);
  });

  test("what is not told again stays, and the room's facts follow the state, not the timeline", async () => {
    const name = ev.name(BOB, "right");
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), name] } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.name(BOB, "wrong"), ev.encryption(BOB)], state_after: [] } } });
    expect(await me.facts(ROOM)).toMatchObject({ name: "right", is_encrypted: false });
    const reset = ev.name(BOB, "reset");
    await me.step({ join: { [ROOM]: { timeline: [ev.name(BOB, "wrong")], state_after: [reset] } } });
    expect(await me.facts(ROOM)).toMatchObject({ name: "reset" });
    expect((await me.state(ROOM))["m.room.name|"]).toBe(reset.event_id);
  });

  test("N1: in two sections, the own membership of the state after it is compared", async () => {
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(BOB), ev.member(me.me)] } } });
    const gone = ev.member(me.me, "leave", {}, { origin_server_ts: 1 });
    const back = { ...ev.member(me.me, "join", {}, { origin_server_ts: 1 }), unsigned: { replaces_state: gone.event_id } };
    const parts = {
      leave: { [ROOM]: { timeline: [gone], state_after: [gone] } },
      join: { [ROOM]: { timeline: [ev.message(BOB)], state_after: [...newRoom(BOB), back] } },
      to_device: [toDevice(BOB)],
    };
    await me.step(parts);
    expect((await me.facts(ROOM)).membership).toBe("join");
    expect((await me.members(ROOM))[me.me]?.id).toBe(back.event_id);
  });

  test("N1: an invite whose complete event is in `state` (MSC4319) is compared by it", async () => {
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(BOB), ev.member(me.me)] } } });
    const gone = ev.member(me.me, "leave", {}, { sender: BOB, origin_server_ts: 9 });
    const invite = { ...ev.member(me.me, "invite", {}, { sender: BOB, origin_server_ts: 1 }), unsigned: { replaces_state: gone.event_id } };
    const rooms = {
      leave: { [ROOM]: { timeline: { events: [gone] }, state_after: { events: [gone] } } },
      invite: { [ROOM]: { invite_state: { events: [] }, state: { events: [invite] } } },
    };
    await me.feed(JSON.stringify({ next_batch: "both", rooms }));
    expect((await me.facts(ROOM)).membership).toBe("invite");
    const [row] = await me.sql<{ inviter: string }[]>`select inviter from invites where account = ${me.account}`;
    expect(row?.inviter).toBe(BOB);
  });
});
