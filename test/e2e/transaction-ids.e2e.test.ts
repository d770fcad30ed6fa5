/** T15: a device is sent its own events with their transaction ids, whichever device's poller brought them. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { Json, MatrixEvent } from "../support/events.ts";
import { Front } from "../support/front.ts";
import { APIS } from "../support/room-follower.ts";
import { followTimeline, timelineUpTo } from "../support/room-timeline.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

const SENDS = 10;

/** By the texts of messages. Null: without one. */
const transactions = (events: readonly MatrixEvent[]) =>
  Object.fromEntries(
    events
      .filter((event) => event.type === "m.room.message")
      .map((event) => [event.content["body"], (event["unsigned"] as Json | undefined)?.["transaction_id"] ?? null]),
  );

/** Sends a message through the server; its transaction id is its text. */
const send = (user: TestUser, room: string, text: string) =>
  user.at(front.url).call("PUT", `/rooms/${encodeURIComponent(room)}/send/m.room.message/${text}`, { msgtype: "m.text", body: text });

it.each(APIS)("T15: of two devices, each is sent its own messages alone with their transaction ids (%s)", async (api) => {
  const phone = await users.registerUser(`t15-${api}`, "PHONE");
  const tablet = await users.login(`t15-${api}`, "TABLET");
  const room = await phone.createRoom({});
  const devices = [phone, tablet];
  const live = devices.map((device) => followTimeline(front.client(device), api, room, "live"));
  // One of them polls the rooms, as the first that came here.
  for (const step of live) await step();

  const sent: { readonly text: string; readonly by: TestUser }[] = [];
  const asSeenBy = (device: TestUser) => Object.fromEntries(sent.map(({ text, by }) => [text, by === device ? text : null]));
  for (let n = 0; n < SENDS; n += 1) {
    for (const by of devices) {
      const text = `${by.deviceId}-${n}`;
      const arriving = live.map((step) => timelineUpTo(step, text));
      await send(by, room, text);
      const pieces = await Promise.all(arriving);
      expect(pieces.map(({ events }) => transactions(events))).toEqual(devices.map((device) => ({ [text]: device === by ? text : null })));
      sent.push({ text, by });
    }
  }
  const last = sent.at(-1)?.text ?? "";
  for (const device of devices) {
    const { events } = await timelineUpTo(followTimeline(front.client(device), api, room, "fresh"), last);
    expect(transactions(events)).toEqual(asSeenBy(device));
  }
});
