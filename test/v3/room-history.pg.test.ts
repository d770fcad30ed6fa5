import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type FakeRequest, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { ids, RoomRoutes } from "../support/rooms.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
let t: V3Fixture;
let routes: RoomRoutes;
let rooms = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

/**
 * A room whose full history is `history` after its creation; v2 sends the last `synced` events. /messages and /context answer as a homeserver does:
 * tokens are `h<number of events before>`.
 */
function room(history: MatrixEvent[], synced: number) {
  rooms += 1;
  const id = `!history${rooms}:test`;
  const me = `@me${rooms}:test`;
  const all = [...newRoom(ALICE), ev.member(me), ...history];
  const place = (text: string | null) => Number((text ?? "h0").slice(1));
  const stateAt = (end: number) => [
    ...new Map(
      all
        .slice(0, end)
        .filter((event) => event.state_key !== undefined)
        .map((event) => [`${event.type} ${event.state_key}`, event]),
    ).values(),
  ];
  routes.messages(id, (request: FakeRequest) => {
    const from = place(request.query.get("from"));
    const start = Math.max(0, from - Number(request.query.get("limit")));
    return { start: `h${from}`, chunk: all.slice(start, from).toReversed(), ...(start > 0 ? { end: `h${start}` } : {}) };
  });
  routes.context(id, (request: FakeRequest): Json => {
    const at = all.findIndex((event) => event.event_id === request.params["event"]) + 1;
    return { event: all[at - 1], state: stateAt(at), start: `h${at - 1}`, end: `h${at}` };
  });
  const from = all.length - synced;
  const client = t.login(
    me,
    "PHONE",
    v2({ join: { [id]: { state: stateAt(from), timeline: all.slice(from), limited: from > 0, prev_batch: `h${from}` } } }),
  );
  const first = async (params: Json = {}) => (await client.sync({ room: { room_id: id, ...params } }))["room"].rooms[id];
  return { id, me, all, client, first };
}

const messages = (count: number) => Array.from({ length: count }, (_, n) => ev.message(ALICE, `m${n}`));
const topics = (events: MatrixEvent[]) => events.filter((event) => event.type === "m.room.topic").map((event) => event.content["topic"]);

describe("history that v2 did not bring", () => {
  it("S4: what is asked for and not stored is fetched, with the state before it", async () => {
    const history = [...messages(5), ev.topic(ALICE, "one"), ...messages(5), ev.topic(ALICE, "two"), ...messages(5)];
    const { id, all, first } = room(history, 3);
    const sent = await first({ timeline_limit: 9 });
    expect(ids(sent.timeline.events)).toEqual(ids(all.slice(-9)));
    expect(topics(sent.state.events)).toEqual(["one"]);
    expect(sent.timeline).toMatchObject({ limited: true, prev_batch: `h${all.length - 9}` });
    expect(routes.asked("messages", id)[0]?.query.get("dir")).toBe("b");
  });

  it("S4: is stored: asked for again nothing is fetched, asked for more the rest is", async () => {
    const { id, all, first } = room([...messages(10), ev.topic(ALICE, "t"), ...messages(30)], 5);
    await first({ timeline_limit: 10 });
    expect(ids((await first({ timeline_limit: 8 })).timeline.events)).toEqual(ids(all.slice(-8)));
    // The events, plus one more for the state before them.
    expect(routes.asked("messages", id)).toHaveLength(2);
    const more = await first({ timeline_limit: 35 });
    expect(ids(more.timeline.events)).toEqual(ids(all.slice(-35)));
    expect(topics([...more.state.events, ...more.timeline.events])).toEqual(["t"]);
    expect(routes.asked("messages", id)).toHaveLength(4);
  });

  it("S4: to the room's beginning: not limited, no state before it", async () => {
    const { all, first } = room(messages(4), 2);
    const sent = await first({ timeline_limit: 50 });
    expect(ids(sent.timeline.events)).toEqual(ids(all));
    expect(sent.timeline.limited).toBe(false);
    expect(sent.state.events).toEqual([]);
  });

  it("S4: types apply to it too: state that they filter out is sent in `state`", async () => {
    const history = [
      ev.message(ALICE, "a"),
      ev.topic(ALICE, "hidden"),
      ev.event("org.example.x", ALICE, {}),
      ev.message(ALICE, "b"),
      ev.message(ALICE, "c"),
    ];
    const { first } = room(history, 1);
    const sent = await first({ timeline_limit: 3, types: ["m.room.message"] });
    expect(sent.timeline.events.map((event: MatrixEvent) => event.content["body"]).slice(-2)).toEqual(["b", "c"]);
    expect(sent.timeline.events.every((event: MatrixEvent) => event.type === "m.room.message")).toBe(true);
    expect(topics(sent.state.events)).toEqual(["hidden"]);
  });

  it("D25: messages of ignored users are left out of it", async () => {
    const { me, client, id } = room([ev.message(ALICE, "a"), ev.message("@bad:test", "x"), ev.message(ALICE, "b"), ev.message(ALICE, "c")], 1);
    await client.sync();
    await t.deliver(client, v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { "@bad:test": {} } } }] }));
    const sent = (await client.sync({ room: { room_id: id, timeline_limit: 100 } }))["room"].rooms[id];
    expect(sent.timeline.events.map((event: MatrixEvent) => event.sender)).not.toContain("@bad:test");
    expect(sent.timeline.events.map((event: MatrixEvent) => event.sender)).toContain(me);
  });

  it("S4: where /messages cannot be fetched, the timeline starts at the oldest stored event", async () => {
    const { id, all, first } = room(messages(10), 3);
    t.hs.fail({ path: /\/messages$/, where: (request) => request.params["room"] === id }, { status: 500, body: {} });
    const sent = await first({ timeline_limit: 9 });
    expect(ids(sent.timeline.events)).toEqual(ids(all.slice(-3)));
    expect(sent.timeline).toMatchObject({ limited: true, prev_batch: `h${all.length - 3}` });
  });

  it("S4: where the state cannot be fetched from /context, the timeline starts at the oldest event whose state is known", async () => {
    const { id, all, first } = room(messages(10), 3);
    t.hs.fail({ path: /\/context\//, where: (request) => request.params["room"] === id }, { status: 403, body: { errcode: "M_FORBIDDEN" } });
    const sent = await first({ timeline_limit: 9 });
    expect(ids(sent.timeline.events)).toEqual(ids(all.slice(-3)));
  });

  it("S4: never across a gap", async () => {
    const { id, client } = room(messages(10), 3);
    const first = await client.sync({ room: { room_id: id, timeline_limit: 2 } });
    const after = messages(2);
    await t.deliver(client, v2({ join: { [id]: { limited: true, prev_batch: "gap", timeline: after } } }));
    const fresh = (await client.sync({ room: { room_id: id, timeline_limit: 20 } }))["room"].rooms[id];
    expect(ids(fresh.timeline.events)).toEqual(ids(after));
    expect(fresh.timeline).toMatchObject({ limited: true, prev_batch: "gap" });
    expect(routes.asked("messages", id)).toHaveLength(0);
    expect(first["room"].rooms[id].timeline.limited).toBe(true);
  });

  it("S4 B48: fetched history is redacted too", async () => {
    const secret = ev.message(ALICE, "secret");
    const { id, client, first } = room([secret, ...messages(6)], 2);
    expect(JSON.stringify(await first({ timeline_limit: 10 }))).toContain("secret");
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.event("m.room.redaction", ALICE, {}, { redacts: secret.event_id })] } } }));
    const sent = await first({ timeline_limit: 11 });
    expect(ids(sent.timeline.events)).toContain(secret.event_id);
    expect(JSON.stringify(sent)).not.toContain("secret");
  });
});

describe("earliest_timeline_event_ids", () => {
  const other = "!elsewhere:test";

  it("S4: what the client has is not sent again; state is that before the id, and prev_batch belongs there", async () => {
    const { id, all, client } = room([ev.topic(ALICE, "old"), ...messages(3), ev.topic(ALICE, "had"), ...messages(2)], 6);
    const mine = all.slice(-6)[1] as MatrixEvent;
    const first = await client.sync({ room: { room_id: id, timeline_limit: 5 } });
    const away = await client.sync({ room: { room_id: other } }, { since: first.next });
    const fresh = [ev.message(ALICE), ev.name(ALICE, "new")];
    await t.deliver(client, v2({ join: { [id]: { timeline: fresh, prev_batch: `h${all.length}` } } }));
    const back = await client.sync({ room: { room_id: id, earliest_timeline_event_ids: [mine.event_id, "$unknown"] } }, { since: away.next });
    const sent = back["room"].rooms[id];
    expect(ids(sent.timeline.events)).toEqual(ids([...all.slice(-6), ...fresh].slice(6)));
    expect(sent.initial).toBe(true);
    expect(sent.state.state_before).toBe(mine.event_id);
    expect(topics(sent.state.events)).toEqual(["old"]);
    expect(sent.state.events.some((event: MatrixEvent) => event.type === "m.room.name")).toBe(false);
    expect(sent.timeline.limited).toBe(true);
    // Not after that event: otherwise there would be a hole between the page it leads to and what the client has.
    expect(Number(sent.timeline.prev_batch.slice(1))).toBeGreaterThanOrEqual(all.length - 6);
  });

  it("S4: works from an event of fetched history too", async () => {
    const { id, all, client } = room([ev.topic(ALICE, "old"), ...messages(2), ev.topic(ALICE, "had"), ...messages(6)], 3);
    const first = await client.sync({ room: { room_id: id, timeline_limit: 9 } });
    const [mine] = first["room"].rooms[id].timeline.events as MatrixEvent[];
    expect(mine?.event_id).toBe(all.at(-9)?.event_id);
    const away = await client.sync({ room: { room_id: other } }, { since: first.next });
    const fresh = ev.message(ALICE, "fresh");
    await t.deliver(client, v2({ join: { [id]: { timeline: [fresh] } } }));
    const sent = (await client.sync({ room: { room_id: id, earliest_timeline_event_ids: [mine?.event_id] } }, { since: away.next }))["room"].rooms[
      id
    ];
    expect(ids(sent.timeline.events)).toEqual([fresh.event_id]);
    expect(sent.state.state_before).toBe(mine?.event_id);
    expect(topics(sent.state.events)).toEqual(["old"]);
    expect(sent.timeline).toMatchObject({ limited: true, prev_batch: `h${all.length - 9}` });
  });

  it("S4: more new events than the limit: what the client has does not adjoin, the answer is like any other", async () => {
    const { id, all, client } = room(messages(6), 6);
    const first = await client.sync({ room: { room_id: id } });
    const away = await client.sync({ room: { room_id: other } }, { since: first.next });
    const fresh = messages(4);
    await t.deliver(client, v2({ join: { [id]: { timeline: fresh } } }));
    const back = await client.sync(
      { room: { room_id: id, timeline_limit: 3, earliest_timeline_event_ids: [all.at(-1)?.event_id] } },
      { since: away.next },
    );
    const sent = back["room"].rooms[id];
    expect(ids(sent.timeline.events)).toEqual(ids(fresh.slice(1)));
    expect(sent.timeline.limited).toBe(true);
    expect(sent.state).not.toHaveProperty("state_before");
  });

  it("S4: an unknown id is ignored", async () => {
    const { id, all, client } = room(messages(3), 3);
    const first = await client.sync({ room: { room_id: other } });
    const sent = (await client.sync({ room: { room_id: id, timeline_limit: 3, earliest_timeline_event_ids: ["$never"] } }, { since: first.next }))[
      "room"
    ].rooms[id];
    expect(ids(sent.timeline.events)).toEqual(ids(all.slice(-3)));
  });
});
