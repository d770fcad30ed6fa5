/** N5, N6: random hostile values anywhere in a v2 answer, through the server: every answer of all three APIs can be read by strict clients. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { EveryFace } from "../support/every-face.ts";
import { ev, type Json, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { hostileText } from "../support/hostile-text.ts";
import { v3Server } from "../support/v3.ts";

const RUNS = Number(process.env["SYNCV3_FUZZ"] ?? 25);
/** Everything is asked for from scratch after so many. */
const WHOLE_EVERY = 8;
const DEEP = `${'{"a":'.repeat(6000)}1${"}".repeat(6000)}`;

const t = v3Server();

/** An answer with something in every section. */
function richAnswer(me: string, room: string): Json {
  const bob = "@bob:test";
  return v2({
    join: {
      [room]: {
        state: [ev.topic(me, "topic")],
        timeline: [
          ev.name(bob, "name"),
          ev.state("m.room.avatar", "", bob, { url: "mxc://test/a" }),
          ev.state("m.room.canonical_alias", "", bob, { alias: "#a:test" }),
          ev.member(bob, "join", { displayname: "Bob", avatar_url: "mxc://test/b" }),
          ev.message(bob, "hello", { unsigned: { age: 5, transaction_id: "t" } }),
          ev.redaction(bob, "$e:test"),
        ],
        limited: false,
        prev_batch: "p",
        ephemeral: [typing(bob, me), receipt("$e:test", bob, "m.read", { ts: 5, thread_id: "main" }), receipt("$f", me, "m.read.private")],
        account_data: [
          { type: "m.tag", content: { tags: { "m.favourite": { order: 0.5 } } } },
          { type: "m.fully_read", content: { event_id: "$e" } },
        ],
        summary: { "m.heroes": [bob, "@carol:test"], "m.joined_member_count": 3, "m.invited_member_count": 1 },
        unread: { notification_count: 2, highlight_count: 1 },
      },
      "!unnamed:test": { state: newRoom(me), timeline: [ev.member("@carol:test", "join", { displayname: "C" })], unread: { notification_count: 1 } },
    },
    leave: { "!left:test": { timeline: [ev.member(me, "leave")] } },
    invite: {
      "!invite:test": [ev.create(bob), ev.name(bob, "i"), ev.member(bob, "join", { displayname: "B" }), ev.member(me, "invite", {}, { sender: bob })],
    },
    knock: { "!knock:test": [ev.name(bob, "k"), ev.member(me, "knock")] },
    account_data: [
      { type: "m.direct", content: { [bob]: [room, "!invite:test"] } },
      { type: "m.ignored_user_list", content: { ignored_users: { "@eve:test": {} } } },
    ],
    presence: [{ type: "m.presence", sender: bob, content: { presence: "online", last_active_ago: 5 } }],
    to_device: [toDevice(bob)],
    device_lists: { changed: [bob], left: ["@carol:test"] },
    one_time_keys: { signed_curve25519: 50 },
    fallback_keys: ["signed_curve25519"],
  });
}

it("N5 N6: no request fails, strict clients can read every answer, and later events are sent", { timeout: 60_000 + RUNS * 5_000 }, async () => {
  const [me, room] = ["@hostile:test", "!hostile:test"];
  const client = t.login(me, "PHONE", v2({ join: { [room]: { state: newRoom(me) } } }));
  client.checksAnswers = false;
  const faces = new EveryFace(client, room);
  await faces.next();
  await t.hs.waitForPoll(client.token);
  const wrong = fc.sample(hostileText(richAnswer(me, room), { most: 6, more: [DEEP] }), { numRuns: RUNS, seed: 20_261_130 });
  /* oxlint-disable no-await-in-loop -- one answer after the other */
  for (const [n, text] of wrong.entries()) {
    // Its place is the fixture's own; all else is as it is.
    t.hs.queueSync(client.token, text.replace(/^\{/, `{"next_batch":"h${n}",`));
    await t.hs.waitForPoll(client.token);
    await faces.next();
    if (n % WHOLE_EVERY === 0) await faces.whole();
  }
  /* oxlint-enable no-await-in-loop */
  await t.deliver(client, v2({ join: { "!after:test": { state: newRoom(me) } }, to_device: [toDevice("@bob:test", { after: true })] }));
  const { unstable, v4, v3 } = await faces.next();
  const listed = (v3["room_list"].rooms as { room_id: string }[]).map((entry) => entry.room_id);
  for (const rooms of [Object.keys(unstable.rooms), Object.keys(v4.rooms), listed]) expect(rooms).toContain("!after:test");
  const queues = [unstable.extensions["to_device"], v4.extensions["to_device"], v3["to_device"]] as { events: Json[] }[];
  for (const { events } of queues) expect(events.at(-1)?.["content"]).toEqual({ after: true });
  expect(await t.sql`select error from poison`).toEqual([]);
});
