import { expect, it } from "vitest";
import { ev, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import type { Answer, V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const ROOM = "!shared:test";
const BOB = "@bob:test";
const CHARLIE = "@charlie:test";
const state = [...newRoom(BOB), ev.member(CHARLIE)];
const timeline = (...events: MatrixEvent[]) => v2({ join: { [ROOM]: { timeline: events } } });
const events = (answer: Answer): MatrixEvent[] => answer["room"]?.rooms[ROOM]?.timeline?.events ?? [];
const ids = (answer: Answer): string[] => events(answer).map((event) => event.event_id);

async function both(): Promise<[[V3Client, Answer], [V3Client, Answer]]> {
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", { body: { chunk: [], start: "p" } });
  const logins = [BOB, CHARLIE].map((user, i) => t.login(user, `D${Math.random()}${i}`, v2({ join: { [ROOM]: { state } } })));
  const answers = await Promise.all(logins.map((client) => client.sync({ room: { room_id: ROOM } })));
  for (const client of logins) await t.hs.waitForPoll(client.token);
  const [bob, charlie] = logins;
  if (!bob || !charlie || !answers[0] || !answers[1]) throw new Error("two are two");
  return [
    [bob, answers[0]],
    [charlie, answers[1]],
  ];
}

it("I7: two users in a room both get each event, with what is theirs alone in unsigned", async () => {
  const [[bob, bob1], [charlie, charlie1]] = await both();
  const message = ev.message(BOB, "hello", { event_id: "$shared" });
  await t.deliver(bob, timeline({ ...message, unsigned: { age: 5, transaction_id: "txn", membership: "join" } }));
  await t.deliver(charlie, timeline({ ...message, unsigned: { age: 7, membership: "leave" } }));
  const [event] = events(await bob.sync({}, { since: bob1.next }));
  const [other] = events(await charlie.sync({}, { since: charlie1.next }));
  expect(event).toMatchObject({ event_id: "$shared", content: message.content, unsigned: { transaction_id: "txn", membership: "join" } });
  expect(other).toMatchObject({ event_id: "$shared", content: message.content, unsigned: { membership: "leave" } });
  expect(other?.["unsigned"]).not.toHaveProperty("transaction_id");
});

it("I7: each sees the order, and only the events, that the own v2 sync shows", async () => {
  const [bob, charlie] = [
    t.login("@b2:test", "D", v2({ join: { [ROOM]: { state } } })),
    t.login("@c2:test", "D", v2({ join: { [ROOM]: { state } } })),
  ];
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", { body: { chunk: [], start: "p" } });
  const [bob1, charlie1] = [await bob.sync({ room: { room_id: ROOM } }), await charlie.sync({ room: { room_id: ROOM } })];
  const [a, b, hidden] = [ev.message(BOB), ev.message(CHARLIE), ev.message("@ignored:test")];
  await t.deliver(bob, timeline(a, b, hidden));
  await t.deliver(charlie, timeline(b, a));
  expect(ids(await bob.sync({}, { since: bob1.next }))).toEqual([a.event_id, b.event_id, hidden.event_id]);
  expect(ids(await charlie.sync({}, { since: charlie1.next }))).toEqual([b.event_id, a.event_id]);
});

it("I7: a room that one has left continues for the other", async () => {
  const [bob, charlie] = [
    t.login("@b3:test", "D", v2({ join: { [ROOM]: { state } } })),
    t.login("@c3:test", "D", v2({ join: { [ROOM]: { state } } })),
  ];
  const [bob1, charlie1] = [await bob.sync({ room: { room_id: ROOM } }), await charlie.sync({ room: { room_id: ROOM } })];
  const leave = ev.member("@c3:test", "leave");
  await t.deliver(charlie, v2({ leave: { [ROOM]: { timeline: [leave] } } }));
  const secret = ev.message(BOB, "secret");
  await t.deliver(bob, timeline(leave, secret));
  expect(ids(await bob.sync({}, { since: bob1.next }))).toEqual([leave.event_id, secret.event_id]);
  const last = await charlie.sync({}, { since: charlie1.next });
  expect(ids(last)).toEqual([leave.event_id]);
  const nothing = await charlie.request({}, { since: last.next });
  expect(nothing.text).not.toContain("secret");
});
