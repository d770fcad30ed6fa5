/** D23, D4: a new account. */

import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { newRoom, typing, v2 } from "../support/fake-homeserver.ts";
import { membersOf, scene, serveMembers, typingOf } from "../support/scene.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const FIRST_CONTACT_MS = 400;

let t: V3Fixture;
/** The same server, with another patience at first contact. */
let patient: V3Fixture;
beforeAll(async () => {
  [t, patient] = await Promise.all([startV3({ engine: { firstContactMs: FIRST_CONTACT_MS } }), startV3()]);
});
afterEach(() => {
  t.hs.heal();
  patient.hs.heal();
});
afterAll(() => Promise.all([t.stop(), patient.stop()]));

/** A user whose homeserver answers the first poll only when `answer` is called. */
function slowStart(fixture: V3Fixture, number: number) {
  const me = `@slow${number}:test`;
  const room = `!slow${number}:test`;
  const token = fixture.hs.login(me, "PHONE");
  fixture.hs.holdSync(token);
  const client = fixture.clientOf(me, "PHONE", token);
  const state = newRoom(me);
  serveMembers(
    fixture,
    room,
    state.filter((event) => event.type === "m.room.member"),
  );
  const answer = () => {
    fixture.hs.queueSync(token, v2({ join: { [room]: { state, ephemeral: [typing("@bob:test")], summary: { "m.joined_member_count": 1 } } } }));
    fixture.hs.holdSync(token, false);
  };
  return { me, room, token, client, answer };
}

it("D23 B27: the first request waits for the first v2 response, whatever its timeout says", async () => {
  const { client, room, token, answer, me } = slowStart(patient, 1);
  const first = client.sync({ typing: { room_id: room }, room_members: { room_id: room } }, { timeout: 0 });
  await patient.hs.waitForPoll(token);
  answer();
  const body = await first;
  expect([typingOf(body), membersOf(body), body["initial_sync"]]).toEqual([[["@bob:test"]], [me], undefined]);
});

it("B29 TestMultipleConnsAtStartup: requests that come while the first one waits, wait too, on one poll", async () => {
  const { client, room, token, answer } = slowStart(patient, 2);
  const all = [1, 2, 3].map(() => client.sync({ typing: { room_id: room } }));
  await patient.hs.waitForPoll(token);
  answer();
  expect((await Promise.all(all)).map(typingOf)).toEqual([[["@bob:test"]], [["@bob:test"]], [["@bob:test"]]]);
  expect(patient.hs.peakPolls(token)).toBe(1);
});

it("D23: after the longest wait it is answered as in progress, the room absent and not forbidden, and fills as data comes", async () => {
  const { client, room, answer, me } = slowStart(t, 3);
  const body = { typing: { room_id: room }, room_members: { room_id: room }, room_list: {}, to_device: {} };
  const started = performance.now();
  const first = await client.sync(body, { timeout: 0 });
  expect(performance.now() - started + 2).toBeGreaterThanOrEqual(FIRST_CONTACT_MS);
  expect(first).toEqual({ initial_sync: "in_progress", next: expect.any(String) as unknown });
  // A request with a token does not wait longer than its timeout either.
  const still = await client.sync({}, { since: first.next, timeout: 0 });
  expect(still).toEqual({ initial_sync: "in_progress", next: expect.any(String) as unknown });
  const waiting = client.sync({}, { since: still.next, timeout: 60_000 });
  answer();
  const filled = await waiting;
  expect(Object.keys(filled).sort()).toEqual(["next", "room_list", "room_members", "to_device", "typing"]);
  expect([typingOf(filled), membersOf(filled), filled["room_list"].count]).toEqual([[["@bob:test"]], [me], 1]);
});

it("D9 D23: parameters added and dropped while it is in progress take effect", async () => {
  const { client, room, answer } = slowStart(t, 4);
  const first = await client.sync({ typing: { room_id: room }, invites: {} });
  const changed = await client.sync({ invites: null, account_data: {} }, { since: first.next });
  answer();
  const filled = await client.sync({}, { since: changed.next, timeout: 60_000 });
  expect(Object.keys(filled).sort()).toEqual(["account_data", "next", "typing"]);
});

it("D23 D18: a room that is not in the complete response is forbidden", async () => {
  const { client, answer } = slowStart(t, 5);
  const first = await client.sync({ typing: { room_id: "!unknown:test" } });
  expect(first["typing"]).toBeUndefined();
  answer();
  const then = await client.sync({}, { since: first.next, timeout: 60_000 });
  expect(then["typing"]).toMatchObject({ errcode: "M_FORBIDDEN" });
});

it("D22 D23: a restart while it is in progress is not noticeable", async () => {
  const { client, room, answer } = slowStart(t, 6);
  const first = await client.sync({ typing: { room_id: room } });
  await t.restart();
  answer();
  const then = await client.sync({}, { since: first.next, timeout: 60_000 });
  expect(typingOf(then)).toEqual([["@bob:test"]]);
});

it("D4: a homeserver that cannot be reached at first contact is a 502 with the reason", async () => {
  const { client } = scene(patient);
  patient.hs.fail({ path: /whoami$/ }, { status: 503, body: "<html>maintenance</html>" }, 50);
  const reply = await client.request({});
  expect([reply.status, reply.body["errcode"]]).toEqual([502, "M_UNKNOWN"]);
  expect(reply.body["error"]).toContain("503");
});

it("B28 D2: a first poll that gets 401 releases the waiting request with 401", async () => {
  const { client } = scene(patient);
  patient.hs.fail(
    { path: /\/sync$/, token: client.token },
    { status: 401, body: { errcode: "M_UNKNOWN_TOKEN", error: "gone", soft_logout: true } },
    50,
  );
  const reply = await client.request({});
  expect([reply.status, reply.body["errcode"], reply.body["soft_logout"]]).toEqual([401, "M_UNKNOWN_TOKEN", true]);
});

it("D23 B28: a first poll that fails is tried again while the request waits", async () => {
  const { client, room } = scene(patient);
  patient.hs.fail({ path: /\/sync$/, token: client.token }, { status: 500, body: "oops" });
  expect(typingOf(await client.sync({ typing: { room_id: room } }))).toEqual([]);
});
