/** Timelines of open rooms that reach further back than what v2 sent: the history is fetched. */

import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { ev, type FakeRequest, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, FollowedRoom, membersTold, messages, newNames } from "../support/followed-room.ts";
import { ids, RoomRoutes } from "../support/rooms.ts";
import { type AskedConfig, DIALECTS, type DialectName, SlidingClient, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const FETCH_MS = 1500;
let routes: RoomRoutes;
const t = v3Server({ sliding: { fetchMs: FETCH_MS } });
beforeAll(() => {
  routes = new RoomRoutes(t.hs);
});
afterEach(() => t.hs.heal());

const asIs = (event: MatrixEvent) => event;

/**
 * A room with this history after its creation, of which v2 sends the last `synced` events. Tokens are `h<number of events before>`. `older`: how an
 * event is in /messages.
 */
async function room(dialect: DialectName, history: readonly MatrixEvent[], synced: number, config: AskedConfig = { limit: 1 }, older = asIs) {
  const { me, id } = newNames();
  const events = [...newRoom(ALICE), ev.member(me), ev.member(BOB), ...history];
  routes.messages(id, (request: FakeRequest) => {
    const from = Number(request.query.get("from")?.slice(1));
    const start = Math.max(0, from - Number(request.query.get("limit")));
    return { start: `h${from}`, chunk: events.slice(start, from).toReversed().map(older), ...(start > 0 ? { end: `h${start}` } : {}) };
  });
  // The state right after the first fetched event.
  routes.context(id, (request: FakeRequest) => {
    const at = events.findIndex((event) => event.event_id === request.params["event"]) + 1;
    const state = events.slice(0, at).filter((event) => event.state_key !== undefined);
    return { event: events[at - 1], state, start: `h${at - 1}`, end: `h${at}` };
  });
  const from = events.length - synced;
  const section = {
    state: events.slice(0, from).filter((event) => event.state_key !== undefined),
    timeline: events.slice(from),
    limited: from > 0,
    prev_batch: `h${from}`,
  };
  const client = new SlidingClient(t.login(me, "PHONE", v2({ join: { [id]: section } })), dialect);
  const followed = await new FollowedRoom(t, client, id, config).begin();
  return { followed, events, open: (limit: number) => ({ ...all(config), subs: { [id]: { ...config, limit } } }) };
}

describe.each(DIALECTS)("history of open rooms", (dialect) => {
  it("T6: present state stays as v2 shows it, though history has it cut because its sender was erased", async () => {
    const config: AskedConfig = { limit: 1, state: [["m.room.name", ""]] };
    const history = [ev.name(BOB, "A name"), ...messages(3, BOB)];
    const cut = (event: MatrixEvent) => (event.sender === BOB ? { ...event, content: {} } : event);
    const { followed, open } = await room(dialect, history, 1, config, cut);
    await followed.ask(open(4), { timeout: 30_000 });
    const again = await followed.client.sync({ ...open(4), connId: "again" });
    const timeline = again.rooms[followed.id]?.["timeline"] as MatrixEvent[];
    expect(timeline.map(({ content }) => content["name"] ?? content["body"] ?? null)).toEqual(["A name", null, null, "m2"]);
    expect(again.rooms[followed.id]).toMatchObject({ name: "A name", required_state: [{ content: { name: "A name" } }] });
  });

  it("M36: a subscription with a longer timeline gets it, limited if there is more, with the prev_batch before it", async () => {
    const { followed, events, open } = await room(dialect, messages(30), 1);
    expect(timelineIds(followed.first)).toEqual(ids(events.slice(-1)));
    const sent = await followed.ask(open(20), { timeout: 30_000 });
    expect(timelineIds(sent)).toEqual(ids(events.slice(-20)));
    expect(sent).toMatchObject({ unstable_expanded_timeline: true, limited: true, num_live: 0, prev_batch: `h${events.length - 20}` });
    expect(await followed.ask(open(20))).toBeUndefined();
  });

  it("M34: a subscription that is the first to ask, and another connection fetches nothing again", async () => {
    const { followed, events, open } = await room(dialect, messages(30), 1);
    for (const connId of ["one", "two"]) {
      const sent = (await followed.client.sync({ ...open(10), connId })).rooms[followed.id];
      expect(timelineIds(sent)).toEqual(ids(events.slice(-10)));
      expect(sent).toMatchObject({ initial: true, limited: true, num_live: 0, prev_batch: `h${events.length - 10}` });
      expect(sent).not.toHaveProperty("unstable_expanded_timeline");
    }
    // The events, plus one more for the state before them.
    expect(routes.asked("messages", followed.id)).toHaveLength(2);
  });

  it("M34: to the room's beginning it is not limited", async () => {
    const { followed, events, open } = await room(dialect, messages(3), 1);
    const sent = await followed.ask(open(50));
    expect(timelineIds(sent)).toEqual(ids(events));
    expect(sent).toMatchObject({ limited: false });
  });

  it("M36: a list with a longer timeline gets what is stored, and fetches nothing", async () => {
    const { followed, events } = await room(dialect, messages(30), 5);
    const sent = await followed.next({ limit: 20 });
    expect(timelineIds(sent)).toEqual(ids(events.slice(-5)));
    expect(sent).toMatchObject({ limited: true, prev_batch: `h${events.length - 5}` });
    expect(routes.asked("messages", followed.id)).toHaveLength(0);
  });

  it("M36 M34: with new events, these alone are live", async () => {
    const { followed, events, open } = await room(dialect, messages(30), 1);
    const news = ev.message(ALICE);
    await followed.deliver({ timeline: [news] });
    const sent = await followed.ask(open(5));
    expect(timelineIds(sent)).toEqual([...ids(events.slice(-4)), news.event_id]);
    expect(sent).toMatchObject({ num_live: 1 });
  });

  it("M36 M39: with the members who sent it", async () => {
    const history = [...messages(2, BOB), ...messages(1)];
    const { followed, open } = await room(dialect, history, 1, { limit: 1, state: [["m.room.member", "$LAZY"]] });
    expect(membersTold(followed.first)).toEqual([`${ALICE}: join`]);
    expect(membersTold(await followed.ask(open(3)))).toContain(`${BOB}: join`);
  });

  it("M36: if it cannot be fetched, or not in time, what is stored is sent", async () => {
    const { followed, events, open } = await room(dialect, messages(30), 2);
    t.hs.fail({ path: /\/messages$/ }, { status: 502, body: "bad gateway" }, 100);
    const sent = await followed.ask(open(20));
    expect(timelineIds(sent)).toEqual(ids(events.slice(-2)));
    expect(sent).toMatchObject({ limited: true, prev_batch: `h${events.length - 2}` });
    t.hs.heal();
    const late = await room(dialect, messages(30), 2);
    t.hs.fail({ path: /\/messages$/ }, { delayMs: FETCH_MS * 5 });
    expect(timelineIds(await late.followed.ask(late.open(20)))).toEqual(ids(late.events.slice(-2)));
  });

  it("M35: nothing is fetched into a gap, and nothing is joined over it", async () => {
    const { followed, open } = await room(dialect, messages(30), 5);
    const after = messages(2);
    await followed.deliver({ timeline: after, limited: true, prev_batch: "gap" });
    const sent = await followed.ask(open(20));
    expect(timelineIds(sent)).toEqual(ids(after));
    expect(sent).toMatchObject({ limited: true, prev_batch: "gap" });
  });
});
