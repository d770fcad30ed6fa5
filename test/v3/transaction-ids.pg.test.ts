/** Sync v3 sends a device's own events with the transaction ids that it gave them, whichever device's poller brought them. */

import { expect, it } from "vitest";
import { ev, type FakeReply, type Json, type MatrixEvent } from "../support/fake-homeserver.ts";
import { hang, type Scene, scene } from "../support/scene.ts";
import { type Answer, type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

let sends = 0;

/** A user with two devices. Only the phone's poller fetches rooms, since the phone came first. */
async function twoDevices(): Promise<Scene & { readonly tablet: V3Client }> {
  const one = scene(t);
  const tablet = t.login(one.me, "TABLET");
  await one.client.sync();
  await tablet.sync();
  await t.hs.waitForPoll(tablet.token);
  return { ...one, tablet };
}

/** Sends a message through the server; the homeserver answers when `reply` has resolved. */
function send({ me, room }: Scene, from: V3Client, reply: Promise<void> = Promise.resolve()) {
  sends += 1;
  const txnId = `txn${sends}`;
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${txnId}`;
  const event = ev.message(me, "mine", { event_id: `$sent${sends}` });
  t.hs.on("PUT", path, async (): Promise<FakeReply> => {
    await reply;
    return { body: { event_id: event.event_id } };
  });
  return { event, txnId, sent: from.fetch("PUT", path, "{}") };
}

const transactionOf = (events: readonly MatrixEvent[] | undefined, { event_id }: MatrixEvent): unknown =>
  (events?.find((event) => event.event_id === event_id)?.["unsigned"] as Json | undefined)?.["transaction_id"] ?? null;

/** The places in an answer that contain events of a room. */
const PLACES: Readonly<Record<string, (answer: Answer, room: string) => MatrixEvent[] | undefined>> = {
  room: (answer, room) => answer["room"]?.rooms[room]?.timeline?.events,
  room_list: (answer, room) => answer["room_list"]?.rooms?.find((entry: Json) => entry["room_id"] === room)?.timeline,
};
const ask = (room: string): Readonly<Record<string, Json>> => ({
  room: { room: { room_id: room } },
  room_list: { room_list: { timeline_limit: 5 } },
});

it.each(Object.keys(PLACES))("T15: another device's poller brings the event, and the sending device has its transaction id (%s)", async (stream) => {
  const one = await twoDevices();
  const eventsOf = (answer: Answer) => PLACES[stream]?.(answer, one.room);
  const body = ask(one.room)[stream] ?? {};
  const [tablet, phone] = [await one.tablet.sync(body), await one.client.sync(body)];
  const { event, txnId, sent } = send(one, one.tablet);
  await sent;
  await one.deliver({ timeline: [event] });
  expect(transactionOf(eventsOf(await one.tablet.sync({}, { since: tablet.next })), event)).toBe(txnId);
  const seen = eventsOf(await one.client.sync({}, { since: phone.next }));
  expect(seen?.map(({ event_id }) => event_id)).toEqual([event.event_id]);
  expect(transactionOf(seen, event)).toBeNull();
  // The same for a session that starts later, and for rows that are cached for the other device.
  for (const client of [one.client, one.tablet, one.client]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect(transactionOf(eventsOf(await client.sync(body)), event)).toBe(client === one.tablet ? txnId : null);
  }
});

it("T15: a room outside the list's window sends the device's own events with their transaction ids", async () => {
  const one = await twoDevices();
  await one.deliver({ timeline: [{ ...ev.message(one.me), type: "m.room.encryption", state_key: "", content: { algorithm: "m.x" } }] });
  const first = await one.tablet.sync({ room_list: { filters: { is_encrypted: false } } });
  const { event, txnId, sent } = send(one, one.tablet);
  await sent;
  await one.deliver({ timeline: [event], unread: { notification_count: 1 } });
  const answer = await one.tablet.sync({}, { since: first.next });
  expect(transactionOf(answer["room_list"].notifications[0].timeline, event)).toBe(txnId);
});

it("T15: an event that arrives before the answer to its send waits for it", async () => {
  const one = await twoDevices();
  const first = await one.tablet.sync({ room: { room_id: one.room } });
  const { answer } = await hang(one.tablet, {}, { since: first.next, timeout: 60_000 });
  const held = Promise.withResolvers<void>();
  const { event, txnId, sent } = send(one, one.tablet, held.promise);
  await t.hs.waitForRequest({ method: "PUT", path: txnId });
  await one.deliver({ timeline: [event] });
  held.resolve();
  await sent;
  expect(transactionOf(PLACES["room"]?.(await answer, one.room), event)).toBe(txnId);
});
