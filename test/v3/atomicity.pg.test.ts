import { expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import type { Answer, V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const ROOM = "!a:test";
const BOB = "@bob:test";
const keys = (...numbers: number[]): Json[] => numbers.map((n) => toDevice(BOB, { key: n }));
const message = (n: number): MatrixEvent => ev.encrypted(BOB, { event_id: `$m${n}-${Math.random()}`, content: { n } });

/** A user joined to the room, with one old message. */
function login(userId: string, messages: Json[] = []): V3Client {
  const state = [...newRoom(BOB), ev.member(userId)];
  return t.login(userId, "PHONE", v2({ join: { [ROOM]: { state, timeline: [message(0)] } }, to_device: messages }));
}

const batch = (messages: Json[], event: MatrixEvent) => v2({ join: { [ROOM]: { timeline: [event] } }, to_device: messages });
const room = (limit?: number) => ({ room: { room_id: ROOM }, to_device: limit === undefined ? {} : { limit } });

/** An answer in short: the numbers of the keys, and the ids of the room's new events. */
function brief(answer: Answer): { keys: number[]; events: string[] } {
  const messages = (answer["to_device"]?.events ?? []) as { content: { key: number } }[];
  const timeline = (answer["room"]?.rooms[ROOM]?.timeline?.events ?? []) as MatrixEvent[];
  return { keys: messages.map(({ content }) => content.key), events: timeline.map((event) => event.event_id) };
}

it("D19 B26: what came in one v2 response comes in one answer, also to a request that waits", async () => {
  const user = login("@one:test");
  const all = {
    ...room(),
    typing: { room_id: ROOM },
    receipts: { room_id: ROOM },
    account_data: {},
    e2ee: {},
    invites: {},
    room_members: { room_id: ROOM },
    room_list: {},
  };
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", { body: { chunk: [ev.member(BOB), ev.member(user.userId)] } });
  const first = await user.sync(all);
  const waiting = user.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(
    user,
    v2({
      join: { [ROOM]: { timeline: [ev.member("@charlie:test"), message(1)], ephemeral: [typing(BOB), receipt("$m", BOB)] } },
      invite: { "!i:test": [ev.member(user.userId, "invite", {}, { sender: BOB })] },
      to_device: keys(1),
      account_data: [{ type: "m.x", content: {} }],
      device_lists: { changed: [BOB] },
    }),
  );
  const answer = await waiting;
  expect(Object.keys(answer).toSorted()).toEqual(["next", ...Object.keys(all)].toSorted());
  expect(Object.keys(await user.sync({}, { since: answer.next }))).toEqual(["next"]);
});

it("D19: while to_device lags behind its limit, the other streams advance only to before the lagging batch", async () => {
  const user = login("@lag:test");
  const first = await user.sync(room(2));
  const [a, b, c] = [message(1), message(2), message(3)];
  await t.deliver(user, batch(keys(1), a), batch(keys(2, 3, 4), b), batch([], c));
  const second = await user.sync({}, { since: first.next });
  expect(brief(second), "the first batch is told whole; of the second one key").toEqual({ keys: [1, 2], events: [a.event_id] });
  const third = await user.sync({}, { since: second.next });
  expect(brief(third)).toEqual({ keys: [3, 4], events: [b.event_id, c.event_id] });
  expect(Object.keys(await user.sync({}, { since: third.next }))).toEqual(["next"]);
});

it("D19: that holds for every stream: members, list, ephemeral, account data, invites, device lists", async () => {
  const user = login("@every:test");
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", { body: { chunk: [ev.member(BOB), ev.member(user.userId)] } });
  const others = {
    typing: { room_id: ROOM },
    receipts: { room_id: ROOM },
    account_data: { rooms: "*" },
    e2ee: {},
    invites: {},
    presence: {},
    room_members: { room_id: ROOM },
    room_list: {},
    room: { room_id: ROOM },
  };
  const first = await user.sync({ to_device: { limit: 2 }, ...others });
  await t.deliver(
    user,
    v2({
      join: {
        [ROOM]: {
          timeline: [ev.member("@charlie:test"), message(1)],
          ephemeral: [typing(BOB), receipt("$m", BOB)],
          account_data: [{ type: "m.y", content: {} }],
        },
      },
      invite: { "!i:test": [ev.member(user.userId, "invite", {}, { sender: BOB })] },
      to_device: keys(1, 2, 3, 4, 5),
      account_data: [{ type: "m.x", content: {} }],
      device_lists: { changed: [BOB] },
      presence: [{ type: "m.presence", sender: BOB, content: { presence: "online" } }],
    }),
  );
  const second = await user.sync({}, { since: first.next });
  const third = await user.sync({}, { since: second.next });
  for (const answer of [second, third]) expect(Object.keys(answer)).toEqual(["to_device", "next"]);
  const fourth = await user.sync({}, { since: third.next });
  expect(brief(fourth).keys).toEqual([5]);
  expect(Object.keys(fourth).toSorted()).toEqual(["next", "to_device", ...Object.keys(others)].toSorted());
});

it("D19: messages stored before the session took part hold nothing back", async () => {
  const user = login("@exempt:test", keys(1, 2, 3, 4, 5));
  const elsewhere = await user.sync({ e2ee: {} });
  const event = message(1);
  await t.deliver(user, batch(keys(6), event));
  const first = await user.sync(room(2));
  expect(brief(first).keys).toEqual([1, 2]);
  expect(brief(first).events.at(-1)).toBe(event.event_id);
  const late = await user.sync(room(2), { since: elsewhere.next });
  expect(brief(late).events.at(-1), "taking part in mid-session is the same").toBe(event.event_id);
});

it("D19: later batches are held back until their messages are sent, after the old ones", async () => {
  const user = login("@mixed:test", keys(1, 2, 3));
  const first = await user.sync(room(2));
  const event = message(1);
  await t.deliver(user, batch(keys(4), event));
  const second = await user.sync({}, { since: first.next });
  expect(brief(second)).toEqual({ keys: [3, 4], events: [event.event_id] });
  const again = await user.sync(room(1));
  const [b, c] = [message(2), message(3)];
  await t.deliver(user, batch([], b), batch(keys(5), c));
  const one = await user.sync({}, { since: again.next });
  expect(brief(one), "3 and 4 are old to this session, 5 is not").toEqual({ keys: [4], events: [b.event_id] });
  expect(brief(await user.sync({}, { since: one.next }))).toEqual({ keys: [5], events: [c.event_id] });
});

it("D19: a session without to_device is held back by nothing", async () => {
  const user = login("@without:test");
  const first = await user.sync({ room: { room_id: ROOM } });
  const event = message(1);
  await t.deliver(user, batch(keys(...Array.from({ length: 150 }, (_, n) => n)), event));
  expect(brief(await user.sync({}, { since: first.next })).events).toEqual([event.event_id]);
});

it("D19 D10: the token in between is answered again as before, and holds over a restart (D22)", async () => {
  const user = login("@token:test");
  const first = await user.sync(room(2));
  const event = message(1);
  await t.deliver(user, batch(keys(1, 2, 3), event));
  const second = await user.sync({}, { since: first.next });
  await t.restart();
  for (let i = 0; i < 2; i++) expect(brief(await user.sync({}, { since: second.next }))).toEqual({ keys: [3], events: [event.event_id] });
});

it("D19 I1: while it waits for the rest, a request is answered at once, and next never goes back", async () => {
  const user = login("@atonce:test");
  let since = (await user.sync(room(1))).next;
  const event = message(1);
  await t.deliver(user, batch(keys(1, 2, 3), event));
  const told: number[] = [];
  const events: string[] = [];
  for (let i = 0; i < 3; i++) {
    const answer = await user.sync({}, { since, timeout: 60_000 });
    told.push(...brief(answer).keys);
    events.push(...brief(answer).events);
    since = answer.next;
    expect(told).toHaveLength(i + 1);
  }
  expect([told, events]).toEqual([[1, 2, 3], [event.event_id]]);
});
