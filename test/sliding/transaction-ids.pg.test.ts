/** Events as they are sent: without a room id, with the transaction id only for their sender, and redacted if they were. */

import { describe, expect, it } from "vitest";
import { ev, type FakeReply, type Json, type MatrixEvent, v2 } from "../support/fake-homeserver.ts";
import { type Scene, scene } from "../support/scene.ts";
import { type Answer, DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

let sends = 0;

describe.each(DIALECTS)("events (%s)", (dialect) => {
  const eventsOf = (answer: Answer, room: string): MatrixEvent[] => (answer.rooms[room]?.["timeline"] ?? []) as MatrixEvent[];
  const transactionOf = (event: MatrixEvent | undefined): unknown => (event?.["unsigned"] as Json | undefined)?.["transaction_id"];

  /** A user with two devices. Only the phone's poller fetches rooms, since the phone came first. */
  async function twoDevices() {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const tablet = new SlidingClient(t.login(one.me, "TABLET"), dialect);
    await phone.sync();
    await tablet.sync();
    await t.hs.waitForPoll(tablet.client.token);
    return { ...one, phone, tablet };
  }

  /** Sends a message through the server, which the homeserver accepts under an id of its own. */
  async function send(
    { me, room }: Scene,
    from: SlidingClient,
    answer: (reply: FakeReply) => Promise<FakeReply> = (reply) => Promise.resolve(reply),
  ) {
    sends += 1;
    const txnId = `txn${sends}`;
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${txnId}`;
    const event = ev.message(me, "mine", { event_id: `$sent${sends}` });
    t.hs.on("PUT", path, () => answer({ body: { event_id: event.event_id } }));
    return { event, txnId, sent: from.client.fetch("PUT", path, "{}") };
  }

  it("M44: events in timelines and state have no room_id, and are otherwise as the homeserver sent them", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const message = ev.message("@bob:test", "hi", { content: { body: "hi", n: 1.5, ü: { deep: [null] } }, room_id: one.room });
    const topic = ev.topic("@bob:test", "tea", { room_id: one.room });
    await one.deliver({ timeline: [topic, message] });
    const answer = await phone.sync({ lists: { all: { limit: 2, state: [["m.room.topic", ""]] } } });
    const without = (name: string, event: Json) => Object.fromEntries(Object.entries(event).filter(([key]) => key !== name));
    const sent = [topic, message].map((event) => without("room_id", event));
    expect(eventsOf(answer, one.room).map((event) => without("unsigned", event))).toEqual(sent);
    const state = (answer.rooms[one.room]?.["required_state"] ?? []) as Json[];
    expect(state.map((event) => without("unsigned", event))).toEqual(sent.slice(0, 1));
  });

  it("M44: the transaction id is for the sending device alone", async () => {
    const one = await twoDevices();
    const [first, other] = [await one.phone.sync(ALL), await one.tablet.sync(ALL)];
    const message = ev.message(one.me, "mine");
    await one.deliver({ timeline: [{ ...message, unsigned: { transaction_id: "m1", age: 3 } }] });
    expect(transactionOf(eventsOf(await one.phone.sync(ALL, { pos: first.pos }), one.room)[0])).toBe("m1");
    const seen = await one.tablet.sync(ALL, { pos: other.pos });
    expect(timelineIds(seen.rooms[one.room])).toEqual([message.event_id]);
    expect(transactionOf(eventsOf(seen, one.room)[0])).toBeUndefined();
  });

  it("M44: another device's poller brings the event, and the sending device still has its transaction id", async () => {
    const one = await twoDevices();
    const [first, other] = [await one.tablet.sync(ALL), await one.phone.sync(ALL)];
    const { event, txnId, sent } = await send(one, one.tablet);
    expect((await sent).body).toEqual({ event_id: event.event_id });
    await one.deliver({ timeline: [event] });
    expect(transactionOf(eventsOf(await one.tablet.sync(ALL, { pos: first.pos }), one.room)[0])).toBe(txnId);
    expect(transactionOf(eventsOf(await one.phone.sync(ALL, { pos: other.pos }), one.room)[0])).toBeUndefined();
    // The same for a connection that starts later.
    expect(transactionOf(eventsOf(await one.tablet.sync({ ...ALL, connId: "late" }), one.room).at(-1))).toBe(txnId);
  });

  it("M44: an event that arrives before the answer to its send waits for it", async () => {
    const one = await twoDevices();
    const first = await one.tablet.sync(ALL);
    const held = Promise.withResolvers<void>();
    const { event, txnId, sent } = await send(one, one.tablet, async (reply) => {
      await held.promise;
      return reply;
    });
    await t.hs.waitForRequest({ method: "PUT", path: txnId });
    await one.deliver({ timeline: [event] });
    const answer = one.tablet.sync(ALL, { pos: first.pos });
    held.resolve();
    expect((await sent).status).toBe(200);
    expect(transactionOf(eventsOf(await answer, one.room)[0])).toBe(txnId);
  });

  it("M44: a send that takes too long delays the device's answers no longer than allowed, and another device's send delays them not at all", async () => {
    const one = await twoDevices();
    const [first, other] = [await one.tablet.sync(ALL), await one.phone.sync(ALL)];
    const held = Promise.withResolvers<void>();
    const { event, txnId, sent } = await send(one, one.tablet, async (reply) => {
      await held.promise;
      return reply;
    });
    await t.hs.waitForRequest({ method: "PUT", path: txnId });
    await one.deliver({ timeline: [event] });
    expect(timelineIds((await one.phone.sync(ALL, { pos: other.pos })).rooms[one.room])).toEqual([event.event_id]);
    expect(timelineIds((await one.tablet.sync(ALL, { pos: first.pos })).rooms[one.room])).toEqual([event.event_id]);
    held.resolve();
    await sent;
  });

  it("M44 M7: a waiting device is sent its own event with its transaction id", async () => {
    const one = await twoDevices();
    const first = await one.tablet.sync(ALL);
    const { answer } = await hangSliding(t, one.tablet, ALL, { pos: first.pos, timeout: LONG });
    const { event, txnId, sent } = await send(one, one.tablet);
    await sent;
    await one.deliver({ timeline: [event] });
    expect(transactionOf(eventsOf(await answer, one.room)[0])).toBe(txnId);
  });

  it("M44 M62: another user in the room never gets it", async () => {
    const one = await twoDevices();
    const { event, sent } = await send(one, one.phone);
    await sent;
    const eve = scene(t);
    const spy = new SlidingClient(eve.client, dialect);
    await spy.sync();
    await t.deliver(one.client, v2({ join: { [one.room]: { timeline: [{ ...event, unsigned: { transaction_id: "hers" } }] } } }));
    await t.deliver(
      eve.client,
      v2({ join: { [one.room]: { state: [ev.create(one.me), ev.member(one.me), ev.member(eve.me)], timeline: [event] } } }),
    );
    const seen = await spy.sync(ALL);
    expect(timelineIds(seen.rooms[one.room])).toContain(event.event_id);
    expect(JSON.stringify(seen)).not.toContain("transaction_id");
  });

  it("M44: what was redacted is sent redacted, with the reason, also in a new connection's state", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const secret = ev.message("@bob:test", "secret words");
    const topic = ev.topic("@bob:test", "secret topic");
    await one.deliver({ timeline: [topic, secret] });
    const first = await phone.sync(ALL);
    expect(JSON.stringify(first)).toContain("secret words");
    const redactions = [ev.redaction("@bob:test", secret.event_id), ev.redaction("@bob:test", topic.event_id)];
    await one.deliver({ timeline: redactions });
    const then = await phone.sync(ALL, { pos: first.pos });
    expect(timelineIds(then.rooms[one.room])).toEqual(redactions.map((event) => event.event_id));
    const fresh = await phone.sync({ lists: { all: { limit: 10, state: [["m.room.topic", ""]] } } });
    expect(JSON.stringify(fresh)).not.toContain("secret");
    const message = eventsOf(fresh, one.room).find((event) => event.event_id === secret.event_id);
    expect(message).toMatchObject({ content: {}, unsigned: { redacted_because: { event_id: redactions[0]?.event_id } } });
    expect(message?.content).toEqual({});
    expect(fresh.rooms[one.room]?.["required_state"]).toMatchObject([{ event_id: topic.event_id, content: {} }]);
  });
});
