import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { ids } from "../support/rooms.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
let t: V3Fixture;
let count = 0;

beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

const room = (name: string, parts: RoomParts = {}): RoomParts => ({
  state: [...newRoom(ALICE), ev.name(ALICE, name)],
  timeline: [ev.message(ALICE)],
  ...parts,
});
const says = (parts: RoomParts = {}): RoomParts => ({ timeline: [ev.message(ALICE)], ...parts });
const tagged = (...tags: string[]): RoomParts => ({
  account_data: [{ type: "m.tag", content: { tags: Object.fromEntries(tags.map((tag) => [tag, {}])) } }],
});
const roomIds = (rooms: Json[]) => rooms.map((one) => one["room_id"]);

/** A new user with these rooms who follows the list; `next` asks with the newest token. */
async function follow(join: Record<string, RoomParts>, params: Json = {}, more: V2Parts = {}) {
  count += 1;
  const me = `@me${count}:test`;
  const client = t.login(me, "PHONE", v2({ join, ...more }));
  const first = await client.sync({ room_list: params });
  let { next } = first;
  return {
    me,
    client,
    first: first["room_list"],
    deliver: (...responses: V2Parts[]) => t.deliver(client, ...responses.map((one) => v2(one))),
    next: async (timeout = 0, body: Json = {}) => {
      const answer = await client.sync(body, { since: next, timeout });
      ({ next } = answer);
      return answer["room_list"];
    },
  };
}

describe("deltas hold only what changed", () => {
  it("S5: an event: the room's id, its timeline and recency; nothing of other rooms", async () => {
    const user = await follow({ "!a:test": room("A"), "!b:test": room("B") });
    const event = ev.message(ALICE, "new");
    await user.deliver({ join: { "!a:test": { timeline: [event] } } });
    const delta = await user.next();
    expect(delta.rooms).toEqual([
      {
        room_id: "!a:test",
        recency: event.origin_server_ts,
        state_events: [expect.objectContaining({ state_key: ALICE })],
        prev_batch: expect.any(String),
        timeline: [expect.objectContaining({ event_id: event.event_id })],
        limited: false,
      },
    ]);
    expect(Object.keys(delta).toSorted()).toEqual(["count", "p", "rooms"]);
    expect(delta.p).toEqual({ limit: 20, sort: ["by_recency"] });
    expect(await user.next()).toBeUndefined();
  });

  it("S5: counts, name, avatar, is_dm and tags, each alone", async () => {
    const user = await follow({ "!a:test": room("A"), "!b:test": room("B") }, { lazy_load_members: false });
    const changes: [V2Parts, Json][] = [
      [{ join: { "!a:test": { unread: { notification_count: 2, highlight_count: 1 } } } }, { notification_count: 2, highlight_count: 1 }],
      [{ join: { "!a:test": { summary: { "m.joined_member_count": 9 } } } }, { joined_count: 9 }],
      [{ join: { "!a:test": tagged("u.work") } }, { tags: { "u.work": {} } }],
      [{ account_data: [{ type: "m.direct", content: { [BOB]: ["!a:test"] } }] }, { is_dm: true }],
    ];
    for (const [change, told] of changes) {
      await user.deliver(change);
      const delta = await user.next();
      expect(delta.rooms).toEqual([{ room_id: "!a:test", recency: expect.any(Number), ...told }]);
    }
    await user.deliver({ join: { "!a:test": { timeline: [ev.name(ALICE, "AA"), ev.state("m.room.avatar", "", ALICE, { url: "mxc://x/y" })] } } });
    expect((await user.next()).rooms[0]).toMatchObject({ name: "AA", avatar: "mxc://x/y" });
    await user.deliver({ join: { "!a:test": { timeline: [ev.state("m.room.avatar", "", ALICE, {})] } } });
    expect((await user.next()).rooms[0]).toMatchObject({ avatar: null });
  });

  it("S5: state_events: only those that changed", async () => {
    const user = await follow(
      { "!a:test": room("A", { state: [...newRoom(ALICE), ev.topic(ALICE, "old"), ev.name(ALICE, "A")] }) },
      {
        state_events: [
          ["m.room.topic", ""],
          ["m.room.name", ""],
        ],
        lazy_load_members: false,
      },
    );
    const topic = ev.topic(ALICE, "new");
    await user.deliver({ join: { "!a:test": { timeline: [topic, ev.joinRules(ALICE, "invite")] } } });
    expect(ids((await user.next()).rooms[0].state_events)).toEqual([topic.event_id]);
    await user.deliver({ join: { "!a:test": says() } });
    expect((await user.next()).rooms[0]).not.toHaveProperty("state_events");
  });

  it("S5: lazy members: those of the senders, and of the name where it changes with them", async () => {
    const user = await follow({ "!a:test": { state: newRoom(ALICE), timeline: [ev.message(ALICE)], summary: { "m.heroes": [ALICE] } } });
    const carl = ev.member("@carl:test", "join", { displayname: "Carl" });
    await user.deliver({
      join: {
        "!a:test": {
          state: [ev.member(BOB), carl],
          timeline: [ev.message(BOB)],
          summary: { "m.heroes": ["@carl:test"], "m.joined_member_count": 2 },
        },
      },
    });
    const entry = (await user.next()).rooms[0];
    expect(entry).toMatchObject({ name: "Carl", heroes: [{ user_id: "@carl:test", displayname: "Carl" }] });
    expect(entry.state_events.map((event: MatrixEvent) => event.state_key).toSorted()).toEqual([BOB, "@carl:test"]);
  });

  it("S5: more events than timeline_limit, or a gap: limited", async () => {
    const user = await follow({ "!a:test": room("A") }, { timeline_limit: 2 });
    const three = [ev.message(ALICE), ev.message(ALICE), ev.message(ALICE)];
    await user.deliver({ join: { "!a:test": { timeline: three } } });
    const delta = (await user.next()).rooms[0];
    expect([ids(delta.timeline), delta.limited]).toEqual([ids(three.slice(1)), true]);
    const after = ev.message(ALICE);
    await user.deliver({ join: { "!a:test": { timeline: [after], limited: true, prev_batch: "gap" } } });
    expect((await user.next()).rooms[0]).toMatchObject({ limited: true, prev_batch: "gap", timeline: [{ event_id: after.event_id }] });
  });

  it("S5: facts that the list is sorted by are always sent", async () => {
    const user = await follow(
      { "!a:test": room("A", { unread: { highlight_count: 1, notification_count: 2 } }) },
      { p: { sort: ["by_highlight_count", "by_notification_count", "by_name"] } },
    );
    await user.deliver({ join: { "!a:test": says() } });
    expect((await user.next()).rooms[0]).toMatchObject({ name: "A", highlight_count: 1, notification_count: 2, recency: expect.any(Number) });
  });

  it("S5 D7 I9: typing, receipts and account data of a room do not wake the list", async () => {
    const user = await follow({ "!a:test": room("A") });
    const waiting = user.next(30_000);
    await user.deliver({
      join: { "!a:test": { ephemeral: [{ type: "m.typing", content: { user_ids: [BOB] } }], account_data: [{ type: "m.fully_read", content: {} }] } },
    });
    await user.deliver({ join: { "!a:test": tagged("u.x") } });
    expect((await waiting).rooms[0].tags).toEqual({ "u.x": {} });
  });

  it("S5: delta entries come in the list's order", async () => {
    const user = await follow({ "!a:test": room("Anna"), "!b:test": room("Berta"), "!c:test": room("Cleo") }, { p: { sort: "by_name" } });
    await user.deliver({ join: { "!c:test": says(), "!a:test": says(), "!b:test": says() } });
    expect(roomIds((await user.next()).rooms)).toEqual(["!a:test", "!b:test", "!c:test"]);
  });
});

describe("entering and leaving", () => {
  it("S5: a room that the user joins enters in full", async () => {
    const user = await follow({ "!a:test": room("A") });
    await user.deliver({ invite: { "!n:test": [ev.member(user.me, "invite", {}, { sender: ALICE })] } });
    expect(await user.next()).toBeUndefined();
    await user.deliver({ join: { "!n:test": room("New") } });
    const delta = await user.next();
    expect(delta).toMatchObject({
      count: 2,
      rooms: [{ room_id: "!n:test", name: "New", is_dm: false, joined_count: expect.any(Number), timeline: [expect.anything()] }],
    });
    await user.deliver({ join: { "!n:test": says() } });
    expect((await user.next()).rooms[0]).not.toHaveProperty("name");
  });

  it("S5: a filter: rooms that begin to match enter in full, those that stop are named in `removed` alone", async () => {
    const user = await follow({ "!a:test": room("A", tagged("m.favourite")), "!b:test": room("B") }, { filters: { tags: ["m.favourite"] } });
    expect([roomIds(user.first.rooms), user.first.count]).toEqual([["!a:test"], 1]);
    await user.deliver({ join: { "!b:test": { ...tagged("m.favourite"), ...says() } } });
    expect(await user.next()).toMatchObject({ count: 2, rooms: [{ room_id: "!b:test", name: "B" }] });
    await user.deliver({ join: { "!a:test": { ...tagged(), ...says() } } });
    const delta = await user.next();
    expect(delta).toMatchObject({ count: 1, rooms: [], removed: ["!a:test"] });
    await user.deliver({ join: { "!a:test": says() } });
    expect(await user.next()).toBeUndefined();
  });

  it("S5: space children: enter with the child event, are removed with its end; another order is sent", async () => {
    const user = await follow(
      { "!s:test": { state: [...newRoom(ALICE, { type: "m.space" }), ev.spaceChild(ALICE, "!a:test")] }, "!a:test": room("A"), "!b:test": room("B") },
      { spaces: ["!s:test"], p: { sort: "by_space_order" }, track_notifications: false },
    );
    expect(roomIds(user.first.rooms)).toEqual(["!a:test"]);
    await user.deliver({ join: { "!b:test": says() } });
    expect(await user.next()).toBeUndefined();
    await user.deliver({ join: { "!s:test": { timeline: [ev.spaceChild(ALICE, "!b:test", { via: ["test"], order: "m" })] } } });
    expect(await user.next()).toMatchObject({ count: 2, rooms: [{ room_id: "!b:test", name: "B", space_order: { order: "m" } }] });
    await user.deliver({ join: { "!s:test": { timeline: [ev.spaceChild(ALICE, "!a:test", { via: ["test"], order: "a" })] } } });
    expect((await user.next()).rooms).toEqual([
      { room_id: "!a:test", space_order: { order: "a", origin_server_ts: expect.any(Number) }, recency: expect.any(Number) },
    ]);
    await user.deliver({ join: { "!s:test": { timeline: [ev.spaceChild(ALICE, "!b:test", {})] } } });
    expect(await user.next()).toMatchObject({ count: 1, rooms: [], removed: ["!b:test"] });
  });

  it("S5: joining a space brings its children, leaving it takes them out", async () => {
    const user = await follow({ "!a:test": room("A"), "!b:test": room("B") }, { spaces: ["!s:test"], track_notifications: false });
    expect(user.first).toMatchObject({ rooms: [], count: 0 });
    const state = [
      ...newRoom(ALICE, { type: "m.space" }),
      ev.spaceChild(ALICE, "!a:test"),
      ev.spaceChild(ALICE, "!b:test"),
      ev.spaceChild(ALICE, "!foreign:test"),
    ];
    await user.deliver({ join: { "!s:test": { state, timeline: [ev.member(user.me)] } } });
    const entered = await user.next();
    expect([roomIds(entered.rooms).toSorted(), entered.count]).toEqual([["!a:test", "!b:test"], 2]);
    await user.deliver({ join: { "!foreign:test": room("F") } });
    expect(await user.next()).toMatchObject({ count: 3, rooms: [{ room_id: "!foreign:test", name: "F" }] });
    await user.deliver({ leave: { "!s:test": { timeline: [ev.member(user.me, "leave")] } } });
    const left = await user.next();
    expect([left.rooms, left.removed.toSorted(), left.count]).toEqual([[], ["!a:test", "!b:test", "!foreign:test"], 0]);
  });

  it("S5: with spaces the active set is their children, whether a page sent them yet or not", async () => {
    const user = await follow(
      {
        "!s:test": { state: [...newRoom(ALICE, { type: "m.space" }), ev.spaceChild(ALICE, "!a:test"), ev.spaceChild(ALICE, "!b:test")] },
        "!a:test": room("A"),
        "!b:test": room("B"),
      },
      { spaces: ["!s:test"], p: { sort: "by_name", limit: 1 } },
    );
    expect(roomIds(user.first.rooms)).toEqual(["!a:test"]);
    await user.deliver({ join: { "!b:test": says() } });
    expect((await user.next()).rooms).toMatchObject([{ room_id: "!b:test", name: "B" }]);
  });

  for (const [how, byMe, membership] of [
    ["leaving", true, "leave"],
    ["a kick", false, "leave"],
    ["a ban", false, "ban"],
  ] as const) {
    it(`S5 D18 B39: ${how}: the leave event is the last of the room's timeline, then it is out of the set`, async () => {
      const user = await follow({ "!a:test": room("A"), "!b:test": room("B") }, { timeline_limit: 5 });
      const left = ev.member(user.me, membership, {}, { sender: byMe ? user.me : ALICE });
      const said = ev.message(ALICE);
      await user.deliver({ leave: { "!a:test": { timeline: [said, left] } } });
      const delta = await user.next();
      expect(delta).toMatchObject({ count: 1, removed: ["!a:test"], rooms: [{ room_id: "!a:test" }] });
      expect(ids(delta.rooms[0].timeline)).toEqual(ids([said, left]));
      expect(await user.next()).toBeUndefined();
      await user.deliver({ join: { "!a:test": { state: [...newRoom(ALICE), ev.name(ALICE, "Again")], timeline: [ev.member(user.me)] } } });
      expect(await user.next()).toMatchObject({ count: 2, rooms: [{ room_id: "!a:test", name: "Again" }] });
    });
  }

  it("S5: leaving and joining between two requests: the room is sent in full", async () => {
    const user = await follow({ "!a:test": room("A") });
    await user.deliver(
      { leave: { "!a:test": { timeline: [ev.member(user.me, "leave")] } } },
      { join: { "!a:test": { state: [...newRoom(ALICE), ev.name(ALICE, "A")], timeline: [ev.member(user.me)] } } },
    );
    const delta = await user.next();
    expect(delta).toMatchObject({ count: 1, rooms: [{ room_id: "!a:test", name: "A", is_encrypted: false }] });
    expect(delta).not.toHaveProperty("removed");
  });

  it("S5: joining and leaving between two requests is nothing", async () => {
    const user = await follow({ "!a:test": room("A") });
    await user.deliver({ join: { "!n:test": room("N") } }, { leave: { "!n:test": { timeline: [ev.member(user.me, "leave")] } } });
    expect(await user.next()).toBeUndefined();
  });
});

describe("notifications of rooms outside the set", () => {
  const two = () => ({ "!new:test": room("New"), "!old:test": room("Old", { timeline: [ev.message(ALICE, "x", { origin_server_ts: 5 })] }) });

  it("S5: events that raised the notification count, and the counts; of others nothing", async () => {
    const user = await follow(two(), { p: { limit: 1 } });
    expect(roomIds(user.first.rooms)).toEqual(["!new:test"]);
    await user.deliver({ join: { "!old:test": says() } });
    expect(await user.next()).toBeUndefined();
    const mine = ev.message(user.me);
    const [a, b] = [ev.message(ALICE), ev.message(BOB)];
    await user.deliver({ join: { "!old:test": { timeline: [a, mine, b], unread: { notification_count: 2, highlight_count: 1 } } } });
    const delta = await user.next();
    expect(delta.rooms).toEqual([]);
    expect(delta.notifications).toEqual([
      { room_id: "!old:test", notification_count: 2, highlight_count: 1, events: [expect.anything(), expect.anything()] },
    ]);
    expect(ids(delta.notifications[0].events)).toEqual(ids([a, b]));
    await user.deliver({ join: { "!old:test": { unread: { notification_count: 0, highlight_count: 0 } } } });
    expect((await user.next()).notifications).toEqual([{ room_id: "!old:test", notification_count: 0, highlight_count: 0 }]);
  });

  it("S5: any event of an encrypted room, as `timeline`", async () => {
    const user = await follow(
      { ...two(), "!enc:test": { state: [...newRoom(ALICE), ev.encryption(ALICE)], timeline: [ev.message(ALICE, "x", { origin_server_ts: 6 })] } },
      { p: { limit: 1 } },
    );
    const event = ev.event("m.room.encrypted", ALICE, {});
    await user.deliver({ join: { "!enc:test": { timeline: [event] } } });
    const { notifications } = await user.next();
    expect(notifications).toEqual([
      {
        room_id: "!enc:test",
        notification_count: 0,
        highlight_count: 0,
        timeline: [expect.objectContaining({ event_id: event.event_id, room_id: "!enc:test" })],
      },
    ]);
  });

  it("S5: track_notifications false: nothing of them", async () => {
    const user = await follow(two(), { p: { limit: 1 }, track_notifications: false });
    await user.deliver({ join: { "!old:test": says({ unread: { notification_count: 2 } }) } });
    expect(await user.next()).toBeUndefined();
  });

  it("S5 D9: rooms false: an empty set, notifications only; sticky, and null takes it back", async () => {
    const user = await follow(two(), { rooms: false });
    expect(user.first).toMatchObject({ rooms: [], count: 0 });
    await user.deliver({ join: { "!old:test": says(), "!new:test": says({ unread: { notification_count: 1 } }), "!joined:test": room("J") } });
    const delta = await user.next();
    expect(delta.rooms).toEqual([]);
    expect(delta.notifications).toMatchObject([{ room_id: "!new:test", notification_count: 1, events: [expect.anything()] }]);
    const full = await user.next(0, { room_list: { rooms: null } });
    expect(full.rooms).toHaveLength(3);
  });

  it("S5: rooms that a filter leaves out notify too", async () => {
    const user = await follow(two(), { filters: { tags: ["m.favourite"] } });
    await user.deliver({ join: { "!old:test": says({ unread: { highlight_count: 1, notification_count: 1 } }) } });
    expect((await user.next()).notifications).toMatchObject([{ room_id: "!old:test", highlight_count: 1 }]);
  });
});

it("S5 B48: a redaction of the last event is applied to the list", async () => {
  const secret = ev.message(ALICE, "secret");
  const user = await follow({ "!a:test": room("A", { timeline: [secret] }) }, { timeline_limit: 5 });
  await user.deliver({ join: { "!a:test": { timeline: [ev.event("m.room.redaction", ALICE, {}, { redacts: secret.event_id })] } } });
  const told: MatrixEvent[] = (await user.client.sync({ room_list: { timeline_limit: 5 } }))["room_list"].rooms[0].timeline;
  expect(told.map((event) => event.content)).toEqual([{}, expect.anything()]);
});
