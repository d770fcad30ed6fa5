import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, newRoom, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

it("main job", async () => {
  const ROOM = "!a:test";
  const state = [...newRoom("@alice:test"), ev.name("@alice:test", "Room A")];
  const alice = t.login("@alice:test", "PHONE", v2({ join: { [ROOM]: { state, timeline: [ev.message("@alice:test", "hi")], limited: true, prev_batch: "p1", summary: { "m.joined_member_count": 1 } } } }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", () => ({ body: { chunk: state.filter((e) => e.type === "m.room.member") } }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", () => ({ body: { chunk: [], start: "p1" } }));
  const first = await alice.sync({ typing: { room_id: ROOM }, to_device: {}, room_members: { room_id: ROOM }, room: { room_id: ROOM }, room_list: {}, e2ee: {}, invites: {}, account_data: {} });
  console.log(JSON.stringify(first, null, 1));
  const waiting = alice.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(alice, v2({ join: { [ROOM]: { ephemeral: [typing("@bob:test")] } }, to_device: [toDevice("@bob:test", { x: 1 })] }));
  const second = await waiting;
  console.log(JSON.stringify(second, null, 1));
  expect(second["typing"].events[0].content.user_ids).toEqual(["@bob:test"]);
});
