/** The summary of a room where the homeserver has no such endpoint (M98, M99). */

import { expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "./support/fake-homeserver.ts";
import { v3Server } from "./support/v3.ts";

const t = v3Server();
const V1 = (room: string) => `/_matrix/client/v1/room_summary/${encodeURIComponent(room)}`;
const PATHS = [
  V1,
  (room: string) => `/_matrix/client/unstable/im.nheko.summary/summary/${encodeURIComponent(room)}`,
  (room: string) => `/_matrix/client/unstable/im.nheko.summary/rooms/${encodeURIComponent(room)}/summary`,
];
const ALICE = "@alice:test";
const stripped = (type: string, content: Json, state_key = "") => ({ type, state_key, sender: ALICE, content });

async function signedIn(name: string, first: Json) {
  const client = t.login(`@${name}:test`, "PHONE", first);
  await client.sync();
  return client;
}

it("M99: a room that the user is in: its state, in all three paths", async () => {
  const state = [...newRoom(ALICE), ev.member("@in:test"), ev.name(ALICE, "Named"), ev.topic(ALICE, "Of this and that"), ev.encryption(ALICE)];
  const client = await signedIn("in", v2({ join: { "!in:test": { state, summary: { "m.joined_member_count": 2 } } } }));
  for (const path of PATHS) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { status, body } = await client.fetch("GET", path("!in:test"));
    expect([status, body]).toMatchObject([
      200,
      {
        room_id: "!in:test",
        membership: "join",
        num_joined_members: 2,
        name: "Named",
        topic: "Of this and that",
        encryption: "m.megolm.v1.aes-sha2",
      },
    ]);
  }
  await t.deliver(client, v2({ join: { "!in:test": { timeline: [ev.name(ALICE, "Renamed")] } } }));
  expect((await client.fetch("GET", V1("!in:test"))).body).toMatchObject({ name: "Renamed" });
});

it("M99: a room that the user is invited to: the stripped state and nothing else; none if the user ignores who invited", async () => {
  const events = [stripped("m.room.name", { name: "Come in" }), stripped("m.room.member", { membership: "invite" }, "@invited:test")];
  const client = await signedIn("invited", v2({ invite: { "!secret:test": events } }));
  const { status, body } = await client.fetch("GET", V1("!secret:test"));
  expect([status, body]).toEqual([
    200,
    {
      room_id: "!secret:test",
      membership: "invite",
      num_joined_members: 1,
      name: "Come in",
      join_rule: "invite",
      world_readable: false,
      guest_can_join: false,
    },
  ]);
  await t.deliver(client, v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { [ALICE]: {} } } }] }));
  expect((await client.fetch("GET", V1("!secret:test"))).status).toBe(404);
});

it("M99: a room is summarised for nobody but those in it; for others, and after leaving, the homeserver answers", async () => {
  const room = { "!own:test": { state: [...newRoom(ALICE), ev.member("@owner:test")] } };
  const owner = await signedIn("owner", v2({ join: room }));
  const other = await signedIn("other", v2());
  expect((await owner.fetch("GET", V1("!own:test"))).status).toBe(200);
  expect(await other.fetch("GET", V1("!own:test"))).toMatchObject({ status: 404, body: { errcode: "M_UNRECOGNIZED" } });
  await t.deliver(owner, v2({ leave: { "!own:test": { timeline: [ev.member("@owner:test", "leave")] } } }));
  expect(await owner.fetch("GET", V1("!own:test"))).toMatchObject({ status: 404, body: { errcode: "M_UNRECOGNIZED" } });
});

it("M99: an alias is the room that the homeserver says", async () => {
  const state = [...newRoom(ALICE), ev.member("@alias:test")];
  const client = await signedIn("alias", v2({ join: { "!alias:test": { state } } }));
  t.hs.on("GET", "/_matrix/client/v3/directory/room/:alias", ({ params }) =>
    params["alias"] === "#a/b:test" ? { body: { room_id: "!alias:test" } } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "no" } },
  );
  expect((await client.fetch("GET", V1("#a/b:test"))).body).toMatchObject({ room_id: "!alias:test" });
  expect((await client.fetch("GET", V1("#other:test"))).status).toBe(404);
  for (const body of ["<html>", "null", '{"room_id":5}']) {
    t.hs.on("GET", "/_matrix/client/v3/directory/room/:alias", { body });
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect((await client.fetch("GET", V1("#odd:test"))).status, body).toBe(404);
  }
});

it("M98: a token that the homeserver refuses by now gets 401, and a device that was never here the homeserver's answer", async () => {
  const state = [...newRoom(ALICE), ev.member("@revoked:test")];
  const client = await signedIn("revoked", v2({ join: { "!revoked:test": { state } } }));
  expect((await client.fetch("GET", V1("!revoked:test"))).status).toBe(200);
  t.hs.revoke(client.token);
  await expect.poll(async () => (await client.fetch("GET", V1("!revoked:test"))).status).toBe(401);
  const stranger = t.clientOf("@stranger:test", "LAPTOP", t.hs.login("@stranger:test", "LAPTOP"));
  expect((await stranger.fetch("GET", V1("!revoked:test"))).status).toBe(404);
});
