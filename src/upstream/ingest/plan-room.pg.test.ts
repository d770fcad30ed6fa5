import { describe, expect, test } from "vitest";

import { ev, newRoom } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import { TestAccount } from "../../../test/support/test-account.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

describe("timelines and state", () => {
  test("a newly joined room: the state block is not history (TestHistoryDoesntIncludeState, B42), each change has its ordinal", async () => {
    const state = newRoom(me.me);
    const message = ev.message(BOB);
    const position = await me.step({ join: { [ROOM]: { state, timeline: [message] } } });
    expect(await me.timeline(ROOM)).toEqual([{ id: message.event_id, gap: false, prev_batch: null, notify: false, ord: 5 }]);
    expect(position).toBe(6);
    expect(await me.state(ROOM)).toEqual({
      "m.room.create|": state[0]?.event_id,
      "m.room.power_levels|": state[2]?.event_id,
      "m.room.join_rules|": state[3]?.event_id,
    });
    expect(await me.members(ROOM)).toEqual({ [me.me]: { membership: "join", was: null, learned: true, id: state[1]?.event_id } });
  });

  test("TestAccumulatorInitialise, TestAccumulatorAccumulate: new state in a timeline replaces, repeating changes nothing", async () => {
    const [create, member, levels, rules] = newRoom(me.me);
    await me.step({ join: { [ROOM]: { state: [create, member, levels, rules].filter((event) => event !== undefined) } } });
    const newRules = ev.joinRules(me.me, "invite");
    const visibility = ev.state("m.room.history_visibility", "", me.me, { history_visibility: "shared" });
    const timeline = [ev.message(me.me), newRules, visibility];
    await me.step({ join: { [ROOM]: { timeline } } });
    expect(await me.state(ROOM)).toEqual({
      "m.room.create|": create?.event_id,
      "m.room.power_levels|": levels?.event_id,
      "m.room.join_rules|": newRules.event_id,
      "m.room.history_visibility|": visibility.event_id,
    });
    const before = await me.position();
    expect(await me.step({ join: { [ROOM]: { timeline, state: [newRules] } } })).toBe(before);
    expect(await me.ids(ROOM)).toEqual(timeline.map((event) => event.event_id));
  });

  test("TestStorageRoomStateBeforeAndAfterEventPosition: the state at each ordinal", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const one = ev.topic(me.me, "1");
    const two = ev.topic(me.me, "2");
    const three = ev.topic(me.me, "3");
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB), one, ev.message(BOB), two] } } });
    await me.step({ join: { [ROOM]: { timeline: [three] } } });
    const topics = [];
    for (const { ord } of (await me.timeline(ROOM)).slice(4)) topics.push((await me.state(ROOM, ord))["m.room.topic|"]);
    expect(topics).toEqual([undefined, one.event_id, one.event_id, two.event_id, three.event_id]);
    expect((await me.state(ROOM, 4))["m.room.topic|"]).toBeUndefined();
  });

  test("B36, TestAccumulatorDupeEvents: the same event in state and timeline is in the timeline only", async () => {
    const [create, member, ...rest] = newRoom(me.me);
    const name = ev.name(me.me, "n");
    const state = [create, member, ...rest, name].filter((event) => event !== undefined);
    await me.step({ join: { [ROOM]: { state, timeline: [name, ev.message(BOB)] } } });
    const [row] = await me.timeline(ROOM);
    expect(row?.id).toBe(name.event_id);
    const rows = await me.sql`select from_ord from state where account = ${me.account} and type = 'm.room.name'`;
    expect(rows.map((each) => Number(each["from_ord"]))).toEqual([row?.ord]);
  });

  test("TestDuplicateEventsInTimeline: [A, B, B] is [A, B]; across responses too", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const [a, b, c] = [ev.message(BOB), ev.topic(BOB, "t"), ev.message(BOB)];
    await me.step({ join: { [ROOM]: { timeline: [a, b, b] } } });
    await me.step({ join: { [ROOM]: { timeline: [b, c] } } });
    expect((await me.ids(ROOM)).slice(4)).toEqual([a.event_id, b.event_id, c.event_id]);
    expect((await me.timeline(ROOM)).every((row) => !row.gap)).toBe(true);
  });

  test("B35, TestBackfillInviteDoesntCorruptState: unseen events before a known one are old", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const join = ev.member(BOB);
    const topic = ev.topic(me.me, "new");
    await me.step({ join: { [ROOM]: { timeline: [join, topic] } } });
    const old = [ev.member(BOB, "invite", {}, { sender: me.me }), ev.topic(me.me, "old")];
    const next = ev.message(BOB);
    await me.step({ join: { [ROOM]: { timeline: [...old, join, topic, next], prev_batch: "p" } } });
    expect((await me.ids(ROOM)).slice(4)).toEqual([join.event_id, topic.event_id, next.event_id]);
    expect((await me.state(ROOM))["m.room.topic|"]).toBe(topic.event_id);
    expect((await me.memberships(ROOM))[BOB]).toBe("join");
    // The token is before the old events, not before the new one.
    expect((await me.timeline(ROOM)).at(-1)).toMatchObject({ prev_batch: null, gap: false });
  });

  test("TestAccumulatorMisorderedGraceful, TestCalculateNewSnapshotDupe: state {A, C}, timeline [D, A, message] gives {A, C, D}", async () => {
    const [a, c] = [ev.create(me.me), ev.joinRules(me.me)];
    const d = ev.topic(me.me, "d");
    const message = ev.message(me.me);
    await me.step({ join: { [ROOM]: { state: [a, c], timeline: [] } } });
    await me.step({ join: { [ROOM]: { timeline: [d, a, message] } } });
    expect(await me.state(ROOM)).toEqual({ "m.room.create|": a.event_id, "m.room.join_rules|": c.event_id, "m.room.topic|": d.event_id });
    expect(await me.ids(ROOM)).toEqual([d.event_id, a.event_id, message.event_id]);
  });

  test("TestMalformedEventsTimeline, TestMalformedEventsState: only bad events are skipped (B37)", async () => {
    const good = newRoom(me.me);
    const bad = { ...ev.name(me.me, "x"), event_id: 7 };
    const message = ev.message(BOB);
    const response = {
      next_batch: "n",
      rooms: { join: { [ROOM]: { state: { events: [bad, ...good, {}, 5] }, timeline: { events: [bad, null, message] } } } },
    };
    expect(await me.feed(JSON.stringify(response))).toMatchObject({ kind: "stored" });
    expect(await me.ids(ROOM)).toEqual([message.event_id]);
    expect(Object.keys(await me.state(ROOM))).toHaveLength(3);
  });

  test("TestEventTable, I7: two users in a room share the body and nothing else", async () => {
    const other = await TestAccount.create(me.sql, "@other3:test");
    const message = ev.message(me.me, "x", { room_id: ROOM });
    await me.step({ join: { [ROOM]: { state: newRoom(me.me), timeline: [{ ...message, unsigned: { transaction_id: "t1", age: 5 } }] } } });
    await other.step({ join: { [ROOM]: { state: newRoom(me.me), timeline: [{ ...message, unsigned: { membership: "join" } }] } } });
    const rows = await me.sql`
      select account, unsigned, age_ts, txn_id, txn_device from timeline where event_id = ${message.event_id} order by account`;
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { account: me.account, unsigned: null, age_ts: me.now - 5, txn_id: "t1", txn_device: me.device },
      { account: other.account, unsigned: '{"membership":"join"}', age_ts: null, txn_id: null, txn_device: null },
    ]);
    expect((await me.body(message.event_id)).body).not.toContain("room_id");
  });

  test("recency is the newest event's time, not later than its arrival", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB, "x", { origin_server_ts: 5 })] } } });
    expect((await me.room(ROOM)).last_ts).toBe(5);
    const position = await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB, "x", { origin_server_ts: me.now + 1e6 })] } } });
    expect(await me.room(ROOM)).toMatchObject({ last_ts: me.now, last_ord: position });
  });

  test("S5: events by others are notifiable if the count rose", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me), unread: { notification_count: 1 } } } });
    const batch = (count: number) => ({
      join: { [ROOM]: { timeline: [ev.message(BOB), ev.message(me.me)], unread: { notification_count: count } } },
    });
    await me.step(batch(2));
    await me.step(batch(2));
    await me.step(batch(0));
    expect((await me.timeline(ROOM)).slice(4).map((row) => row.notify)).toEqual([true, false, false, false, false, false]);
  });
});

describe("gaps", () => {
  test("limited and known: gap, token, the state block is what changed (B33, TestGappyStateDoesNotAccumulateTheStateBlock)", async () => {
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), ev.topic(me.me, "old")], prev_batch: "p0" } } });
    const topic = ev.topic(me.me, "in the gap");
    const [one, two] = [ev.message(BOB), ev.message(BOB)];
    const before = await me.position();
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p1", state: [topic], timeline: [one, two] } } });
    const rows = await me.timeline(ROOM);
    expect(rows.map(({ gap, prev_batch }) => ({ gap, prev_batch }))).toEqual([
      { gap: false, prev_batch: "p0" },
      ...Array.from({ length: 4 }, () => ({ gap: false, prev_batch: null })),
      { gap: true, prev_batch: "p1" },
      { gap: false, prev_batch: null },
    ]);
    expect((await me.state(ROOM))["m.room.topic|"]).toBe(topic.event_id);
    expect(await me.ids(ROOM)).not.toContain(topic.event_id);
    // The state before the first event after the gap includes the change; the rest is unchanged.
    expect((await me.state(ROOM, (rows.at(-2)?.ord ?? 0) - 1))["m.room.topic|"]).toBe(topic.event_id);
    expect((await me.state(ROOM, before))["m.room.topic|"]).not.toBe(topic.event_id);
    expect(Object.keys(await me.state(ROOM))).toHaveLength(4);
  });

  test("TestClientsSeeMembershipTransitionsInGappyPolls: members of the state block are changes once the list is known", async () => {
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), ev.member(BOB)] } } });
    await me.sql`update rooms set members = 'complete' where account = ${me.account}`;
    const leave = ev.member(BOB, "leave");
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: [leave], timeline: [ev.message(me.me)] } } });
    expect((await me.members(ROOM))[BOB]).toEqual({ membership: "leave", was: "join", learned: false, id: leave.event_id });
    expect((await me.room(ROOM)).members).toBe("stale");
  });

  test("limited without an event: the gap waits for the next one", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p1", timeline: [] } } });
    expect((await me.room(ROOM)).pending_gap).toBe(true);
    await me.step({ join: { [ROOM]: { ephemeral: [] } } });
    expect((await me.room(ROOM)).pending_gap).toBe(true);
    const unsure = (await me.room(ROOM)).unsure_ord;
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB), ev.message(BOB)], prev_batch: "p2" } } });
    expect((await me.timeline(ROOM)).slice(4)).toMatchObject([
      { gap: true, prev_batch: "p2" },
      { gap: false, prev_batch: null },
    ]);
    expect(await me.room(ROOM)).toMatchObject({ pending_gap: false, unsure_ord: unsure });
  });

  test("limited, but it begins with our newest event: no gap, and the state block is older than that event", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    const topic = ev.topic(me.me, "newest");
    await me.step({ join: { [ROOM]: { timeline: [topic] } } });
    const next = ev.message(BOB);
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: [ev.topic(me.me, "before it")], timeline: [topic, next] } } });
    expect((await me.timeline(ROOM)).at(-1)).toMatchObject({ id: next.event_id, gap: false, prev_batch: null });
    expect((await me.state(ROOM))["m.room.topic|"]).toBe(topic.event_id);
  });

  test("a newly joined room with a limited timeline has a gap before it; one that comes from its creation has none", async () => {
    await me.step({
      join: {
        [ROOM]: { limited: true, prev_batch: "p", state: newRoom(me.me), timeline: [ev.message(BOB)] },
        "!b:test": { timeline: newRoom(me.me) },
      },
    });
    expect(await me.timeline(ROOM)).toMatchObject([{ gap: true, prev_batch: "p" }]);
    expect((await me.timeline("!b:test"))[0]).toMatchObject({ gap: false });
  });
});

describe("coming and going", () => {
  const leaveOf = (user: string) => ev.member(user, "leave");

  test("leaving: the leave is the last event, the state stays, typing ends (B39, D18)", async () => {
    await me.step({
      join: {
        [ROOM]: { timeline: newRoom(me.me), unread: { notification_count: 3 }, ephemeral: [{ type: "m.typing", content: { user_ids: [BOB] } }] },
      },
    });
    const leave = leaveOf(me.me);
    await me.step({ leave: { [ROOM]: { timeline: [ev.message(BOB), leave] } } });
    expect((await me.ids(ROOM)).at(-1)).toBe(leave.event_id);
    expect(await me.facts(ROOM)).toMatchObject({ membership: "leave", notification_count: 0 });
    expect((await me.members(ROOM))[me.me]).toMatchObject({ membership: "leave", was: "join", learned: false });
    const [typing] = await me.sql`select users from typing where account = ${me.account}`;
    expect(typing).toEqual({ users: "[]" });
  });

  test("a ban; a leave without an event; a leave of an unknown room", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) }, "!b:test": { timeline: newRoom(me.me) } } });
    const ban = ev.member(me.me, "ban", {}, { sender: BOB });
    await me.step({ leave: { [ROOM]: { timeline: [ban] }, "!b:test": {}, "!c:test": {} } });
    expect((await me.facts(ROOM)).membership).toBe("ban");
    expect((await me.facts("!b:test")).membership).toBe("leave");
    expect((await me.facts("!c:test")).membership).toBe("leave");
    expect(await me.state("!c:test")).toEqual({});
  });

  test.each([
    ["an invite is declined", "invite", "leave"],
    ["a knock is denied", "knock", "leave"],
    ["the user is banned while invited", "invite", "ban"],
  ] as const)("T8: %s, later a join: the full timeline, a gap before it, and v2's prev_batch", async (_what, kind, end) => {
    const room = "!declined:test";
    const pending = ev.member(me.me, kind, {}, { sender: kind === "invite" ? "@bob:test" : me.me });
    await me.step({ [kind]: { [room]: [pending] } });
    const left = ev.member(me.me, end, {}, { sender: end === "ban" ? "@bob:test" : me.me });
    await me.step({ leave: { [room]: { timeline: [left], prev_batch: "p1", limited: true } } });
    const timeline = [ev.message("@bob:test", "1"), pending, ev.message("@bob:test", "2"), left, ev.message("@bob:test", "3"), ev.member(me.me)];
    await me.step({ join: { [room]: { state: newRoom("@bob:test"), timeline, prev_batch: "p2", limited: true } } });
    const rows = await me.timeline(room);
    const firstOfJoin = rows.findIndex(({ id }) => id === timeline[0]?.event_id);
    expect(rows.slice(firstOfJoin).map(({ id }) => id)).toEqual(timeline.map((event) => event.event_id));
    expect(rows[firstOfJoin]).toMatchObject({ gap: true, prev_batch: "p2" });
    // The next answer continues from there.
    await me.step({ join: { [room]: { timeline: [ev.message("@bob:test", "4")] } } });
    expect((await me.timeline(room)).at(-1)).toMatchObject({ gap: false });
  });

  test("rejoining: what is not in the full state ends, members must be learned again, and there is a gap", async () => {
    const topic = ev.topic(me.me, "old");
    const first = newRoom(me.me);
    await me.step({ join: { [ROOM]: { timeline: [...first, topic, ev.member(BOB), ev.member("@eve:test")] } } });
    await me.sql`update rooms set members = 'complete' where account = ${me.account}`;
    await me.step({ leave: { [ROOM]: { timeline: [leaveOf(me.me)] } } });
    const left = await me.position();
    const join = ev.member(me.me);
    const name = ev.name(BOB, "new");
    const [create, , levels, rules] = first;
    const eve = ev.member("@eve:test", "join", { displayname: "E" });
    const state = [create, levels, rules, eve].filter((event) => event !== undefined);
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state, timeline: [name, join] } } });
    expect(await me.state(ROOM)).toEqual({
      "m.room.create|": create?.event_id,
      "m.room.power_levels|": levels?.event_id,
      "m.room.join_rules|": rules?.event_id,
      "m.room.name|": name.event_id,
    });
    expect((await me.state(ROOM, left))["m.room.topic|"]).toBe(topic.event_id);
    expect(await me.memberships(ROOM)).toEqual({ [me.me]: "join", "@eve:test": "join" });
    expect((await me.members(ROOM))[me.me]).toMatchObject({ was: "leave", learned: false });
    expect((await me.members(ROOM))["@eve:test"]).toMatchObject({ learned: true });
    const rows = await me.timeline(ROOM);
    expect(rows.at(-2)).toMatchObject({ id: name.event_id, gap: true, prev_batch: "p" });
    expect(await me.room(ROOM)).toMatchObject({ members: "none", unsure_ord: expect.any(Number) as number });
    // Before the first event of the new timeline the topic is gone and the name is not there yet.
    const before = await me.state(ROOM, (rows.at(-2)?.ord ?? 0) - 1);
    expect(before).not.toHaveProperty("m.room.topic|");
    expect(before).not.toHaveProperty("m.room.name|");
  });

  test("rejoining without limited in a room with older stored events leaves a gap too", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    await me.step({ leave: { [ROOM]: { timeline: [leaveOf(me.me)] } } });
    await me.step({ join: { [ROOM]: { state: newRoom(me.me), timeline: [ev.member(me.me)] } } });
    expect((await me.timeline(ROOM)).at(-1)?.gap).toBe(true);
  });

  test("rejoining with a timeline that continues from the leave leaves no gap", async () => {
    const first = newRoom(me.me);
    const leave = leaveOf(me.me);
    await me.step({ join: { [ROOM]: { timeline: first } } });
    await me.step({ leave: { [ROOM]: { timeline: [leave] } } });
    const join = ev.member(me.me);
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: first, timeline: [leave, join] } } });
    expect((await me.timeline(ROOM)).at(-1)).toMatchObject({ id: join.event_id, gap: false });
    expect((await me.memberships(ROOM))[me.me]).toBe("join");
  });

  test("TestStorageJoinedRoomsAfterPosition: joined, invited, left, banned", async () => {
    const invite = [ev.member(me.me, "invite", {}, { sender: BOB })];
    await me.step({
      join: { "!1:test": { timeline: newRoom(me.me) }, "!3:test": { timeline: newRoom(me.me) }, "!4:test": { timeline: newRoom(me.me) } },
      invite: { "!2:test": invite },
    });
    await me.step({ leave: { "!3:test": { timeline: [leaveOf(me.me)] }, "!4:test": { timeline: [ev.member(me.me, "ban", {}, { sender: BOB })] } } });
    const memberships = [];
    for (const room of ["!1:test", "!2:test", "!3:test", "!4:test"]) memberships.push((await me.facts(room)).membership);
    expect(memberships).toEqual(["join", "invite", "leave", "ban"]);
  });

  test("TestAccumulatorMembershipLogs, TestEventTableMembershipDetection: `was` distinguishes a join from a new name", async () => {
    await me.step({ join: { [ROOM]: { timeline: [ev.create(me.me), ev.member(me.me)] } } });
    await me.step({
      join: { [ROOM]: { timeline: [ev.member(me.me, "join", { displayname: "M" }), ev.member(BOB, "invite", {}, { sender: me.me })] } },
    });
    await me.step({ join: { [ROOM]: { timeline: [ev.member(BOB)] } } });
    const rows = await me.sql`select user_id, was, membership, sort_name from members where account = ${me.account} order by from_ord`;
    expect(rows.map((row) => [row["user_id"], row["was"], row["membership"], row["sort_name"]])).toEqual([
      [me.me, null, "join", me.me.slice(1)],
      [me.me, "join", "join", "m"],
      [BOB, null, "invite", "bob:test"],
      [BOB, "invite", "join", "bob:test"],
    ]);
  });
});
