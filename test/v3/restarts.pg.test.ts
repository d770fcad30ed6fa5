/** D22: a restart of any process between any two requests changes nothing visible. */

import { expect, it } from "vitest";
import { ev, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { membersOf, scene, typingOf } from "../support/scene.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const EVERYTHING = (room: string) => ({
  typing: { room_id: room },
  to_device: { limit: 1 },
  room_members: { room_id: room, p: { limit: 2, sort: "by_name" } },
  room: { room_id: room },
  room_list: { p: { limit: 1 } },
  invites: {},
  account_data: { rooms: "*" },
  receipts: { room_id: room },
  e2ee: {},
});

it("D22 I6 B2: a restart between any two requests is not noticeable: parameters, cursors, pages, messages", async () => {
  const { client, room, deliver } = scene(t, { others: ["@b:test", "@c:test", "@d:test"] });
  const first = await client.sync(EVERYTHING(room));
  await t.restart();
  expect(Object.keys(await client.sync({}, { since: first.next }))).toEqual(["next"]);
  await t.hs.waitForPoll(client.token);
  const messages = [toDevice("@b:test", { n: 1 }), toDevice("@b:test", { n: 2 })];
  await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing("@b:test")], timeline: [ev.member("@e:test")] } }, to_device: messages }));
  const before = await client.sync({}, { since: first.next });
  await t.restart();
  const after = await client.sync({}, { since: first.next });
  expect(after).toEqual(before);
  expect(after["to_device"]).toEqual({ limit: 1, events: messages.slice(0, 1) });
  await t.restart();
  const page = await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
  expect(membersOf(page)).toEqual(["@d:test", client.userId]);
  await t.restart();
  const rest = await client.sync({}, { since: after.next });
  expect(rest["to_device"].events).toEqual(messages.slice(1));
  expect([...(membersOf(after) ?? []), ...(membersOf(rest) ?? [])]).toEqual(["@e:test"]);
  await t.restart();
  await deliver({ ephemeral: [typing()] });
  expect(typingOf(await client.sync({}, { since: rest.next }))).toEqual([[]]);
});

it("D22 B56: polling resumes by itself after a restart, before any client comes", async () => {
  const { client, room } = scene(t);
  const first = await client.sync({ typing: { room_id: room } });
  await t.restart();
  const polls = t.hs.polls(client.token).length;
  await t.hs.waitForRequest({ path: /\/sync$/, token: client.token }, polls + 1);
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing("@b:test")] } } }));
  expect(typingOf(await client.sync({}, { since: first.next }))).toEqual([["@b:test"]]);
});

it("B27 D22: a request after a restart is answered from what is stored, however slow the homeserver is", async () => {
  const { client, room, type } = scene(t);
  const first = await client.sync({ typing: { room_id: room } });
  await type("@b:test");
  t.hs.holdSync(client.token);
  await t.restart();
  expect(typingOf(await client.sync({}, { since: first.next }))).toEqual([["@b:test"]]);
  expect(typingOf(await client.sync({ typing: { room_id: room } }))).toEqual([["@b:test"]]);
  t.hs.holdSync(client.token, false);
});

it("D22: a stopping server answers waiting requests, and the token stays valid", async () => {
  const { client, room } = scene(t);
  const first = await client.sync({ typing: { room_id: room } });
  const waiting = client.sync({}, { since: first.next, timeout: 60_000 });
  await untilUsed();
  await t.restart();
  const quiet = await waiting;
  expect(Object.keys(quiet)).toEqual(["next"]);
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing("@b:test")] } } }));
  expect(typingOf(await client.sync({}, { since: quiet.next }))).toEqual([["@b:test"]]);

  async function untilUsed(): Promise<void> {
    for (;;) {
      const list = await client.fetch("GET", "/_matrix/client/unstable/syncv3/sessions");
      if (list.body["sessions"][0].position > 0) return;
    }
  }
});

it("D22 D19: rooms that a page sent stay in the active set", async () => {
  const { client, room, me } = scene(t);
  const second = `${room}second`;
  await client.sync({});
  await t.deliver(client, v2({ join: { [second]: { state: [ev.create(me), ev.member(me)], timeline: [ev.message(me)] } } }));
  const first = await client.sync({ room_list: { p: { limit: 1 } } });
  await client.sync({ room_list: { p: { since: first["room_list"].p.next } } }, { since: first.next });
  await t.restart();
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ join: { [room]: { timeline: [ev.message(me)] }, [second]: { timeline: [ev.message(me)] } } }));
  const then = await client.sync({}, { since: first.next });
  expect(then["room_list"].rooms.map((entry: { room_id: string }) => entry.room_id).sort()).toEqual([room, second].sort());
});
