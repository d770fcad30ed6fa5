/** N5: however deep the JSON of a homeserver nests, no request fails for it. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, toDevice, v2 } from "../support/fake-homeserver.ts";
import { EveryFace } from "../support/every-face.ts";
import { scene } from "../support/scene.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

const DEEP = 6000;
const deep = `${"[".repeat(DEEP)}${"]".repeat(DEEP)}`;
const deepObject = `${'{"a":'.repeat(DEEP)}1${"}".repeat(DEEP)}`;

/** The answer's text with deep JSON in place of the text "DEEP". */
function withDeep(answer: Json, value = deepObject): string {
  return JSON.stringify({ next_batch: `deep${(deepAnswers += 1)}`, ...answer }).replaceAll('"DEEP"', value);
}
let deepAnswers = 0;
const inside = (event: object): Json => ({
  ...event,
  content: { ...(event as { content?: Json }).content, deep: "DEEP" },
  unsigned: { deep: "DEEP" },
});

async function deliverText(client: V3Client, text: string): Promise<void> {
  t.hs.queueSync(client.token, text);
  await t.hs.waitForPoll(client.token);
}

describe("N5: deep JSON", () => {
  const places: readonly [where: string, answer: (room: string, me: string) => Json][] = [
    [
      "an invite's stripped state",
      (_, me) => v2({ invite: { "!deep:test": [inside(ev.member(me, "invite", {}, { sender: "@bob:test" })), inside(ev.name("@bob:test", "n"))] } }),
    ],
    ["a knock's stripped state", (_, me) => v2({ knock: { "!deep:test": [inside(ev.member(me, "knock")), inside(ev.create("@bob:test"))] } })],
    ["a message", (room) => v2({ join: { [room]: { timeline: [inside(ev.message("@bob:test"))] } } })],
    ["state", (room, me) => v2({ join: { [room]: { state: [inside(ev.name(me, "n")), inside(ev.topic(me, "t"))] } } })],
    ["power levels", (room, me) => v2({ join: { [room]: { timeline: [inside(ev.powerLevels(me, { [me]: "DEEP" }))] } } })],
    ["members", (room) => v2({ join: { [room]: { timeline: [inside(ev.member("@bob:test"))], summary: { "m.heroes": ["DEEP", "@bob:test"] } } } })],
    ["a room's end", (room, me) => v2({ leave: { [room]: { timeline: [inside(ev.member(me, "leave"))] } } })],
    [
      "account data",
      (room) =>
        v2({
          account_data: [{ type: "org.example", content: "DEEP" }],
          join: { [room]: { account_data: [{ type: "org.x", content: { deep: "DEEP" } }] } },
        }),
    ],
    ["m.direct", () => v2({ account_data: [{ type: "m.direct", content: { "@bob:test": "DEEP", deep: ["DEEP"] } }] })],
    ["m.ignored_user_list", () => v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { "@eve:test": "DEEP" } } }] })],
    [
      "tags",
      (room) =>
        v2({ join: { [room]: { account_data: [{ type: "m.tag", content: { tags: { "m.favourite": { order: "DEEP" }, "u.x": "DEEP" } } }] } } }),
    ],
    [
      "receipts",
      (room) =>
        v2({
          join: {
            [room]: {
              ephemeral: [
                receipt("$e:test", "@bob:test", "m.read", { ts: 1, deep: "DEEP" }),
                receipt("$e:test", "@c:test", "m.read", { ts: "DEEP" }),
              ],
            },
          },
        }),
    ],
    ["typing", (room) => v2({ join: { [room]: { ephemeral: [{ type: "m.typing", content: { user_ids: ["DEEP", "@bob:test"], deep: "DEEP" } }] } } })],
    ["to-device messages", () => v2({ to_device: [inside(toDevice("@bob:test"))] })],
    ["presence", () => v2({ presence: [inside({ type: "m.presence", sender: "@bob:test", content: { presence: "online" } })] })],
    [
      "key counts",
      () => ({ device_one_time_keys_count: { a: "DEEP", signed_curve25519: 5 }, device_unused_fallback_key_types: ["DEEP", "signed_curve25519"] }),
    ],
    ["device lists", () => ({ device_lists: { changed: ["DEEP", "@bob:test"], left: "DEEP" } })],
    [
      "counts of a room",
      (room) => ({
        rooms: { join: { [room]: { summary: { "m.joined_member_count": "DEEP" }, unread_notifications: { notification_count: "DEEP" } } } },
      }),
    ],
    ["unknown sections", (room) => ({ unknown: "DEEP", rooms: { other: "DEEP", join: { [room]: { other: "DEEP" } } } })],
  ];

  it.each(places)("N5: in %s: no request fails, and the next answer is stored", async (_, answer) => {
    const { client, room, me } = scene(t);
    // Account data whose content is a list is told as it is, and is not as documented.
    client.checksAnswers = false;
    const faces = new EveryFace(client, room);
    await faces.next();
    for (const value of [deepObject, deep]) {
      await deliverText(client, withDeep(answer(room, me), value)); // oxlint-disable-line no-await-in-loop -- one answer after the other
      await faces.next(); // oxlint-disable-line no-await-in-loop -- as above
      await faces.whole(); // oxlint-disable-line no-await-in-loop -- as above
    }
    await t.deliver(client, v2({ join: { "!next:test": { state: newRoom(me) } } }));
    const { unstable, v4, v3 } = await faces.next();
    const listed = (v3["room_list"].rooms as { room_id: string }[]).map((entry) => entry.room_id);
    for (const rooms of [Object.keys(unstable.rooms), Object.keys(v4.rooms), listed]) expect(rooms).toContain("!next:test");
    expect(await t.sql`select error from poison join accounts using (account) where user_id = ${me}`).toEqual([]);
  });
});
