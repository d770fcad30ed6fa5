/** Situations that people reported of other servers and clients: timelines, gaps and the state beside them. docs/RELIABILITY.md lists all. */

import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent } from "../support/fake-homeserver.ts";
import { ALICE, BOB, follow, messages, stateEvent } from "../support/followed-room.ts";
import { ids } from "../support/rooms.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, type RoomAnswer, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const EVERYTHING = { limit: 5, state: [["*", "*"] as const] };
const GAP = { limited: true, prev_batch: "before the gap" };

describe.each(DIALECTS)("timelines (%s)", (dialect) => {
  it("M34: an update without events is not limited, and its prev_batch stands after all that was told (matrix-rust-sdk #4746)", async () => {
    const room = await follow(t, dialect, { config: EVERYTHING, parts: { timeline: messages(1), ...GAP } });
    await room.give({ next_batch: "after the topic", join: { [room.id]: { state: [ev.topic(ALICE, "no event of the timeline")] } } });
    const told = await room.next();
    expect(told).toMatchObject({ limited: false, prev_batch: "after the topic", num_live: 0 });
    expect(told).not.toHaveProperty("timeline");
  });

  it("M34: a device that slept gets the newest messages, told as limited, and the token that leads to the others (element-web #29621)", async () => {
    const room = await follow(t, dialect, { config: { limit: 1 }, parts: { timeline: messages(1) } });
    const missed = messages(3);
    for (const message of missed.slice(0, 2)) await room.deliver({ timeline: [message] });
    await room.deliver({ timeline: missed.slice(2), prev_batch: "before the third" });
    const told = await room.next({ limit: 1 });
    expect(timelineIds(told)).toEqual(ids(missed.slice(2)));
    expect(told).toMatchObject({ limited: true, prev_batch: "before the third" });
  });

  it("M34: a gap whose newest events are all one's own is a gap too (matrix-rust-sdk #6190)", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(2) } });
    const own = messages(2, room.me);
    await room.deliver({ timeline: own, ...GAP });
    const told = await room.next();
    expect(timelineIds(told)).toEqual(ids(own));
    expect(told).toMatchObject(GAP);
  });

  it("M35: events that the homeserver sends a second time are not told again, and do not take the state back (conduwuit #606)", async () => {
    const [older, newer] = [ev.topic(ALICE, "older"), ev.topic(ALICE, "newer")];
    const again = [older, ...messages(2)];
    const room = await follow(t, dialect, { config: EVERYTHING, parts: { timeline: again } });
    await room.deliver({ timeline: [newer] });
    expect(timelineIds(await room.next())).toEqual([newer.event_id]);
    const message = ev.message(BOB);
    await room.deliver({ timeline: [...again, message] });
    const told = await room.next();
    expect(timelineIds(told)).toEqual([message.event_id]);
    expect(stateEvent(told, "m.room.topic")).toBeUndefined();
    expect(stateEvent(await room.anew(), "m.room.topic")).toMatchObject({ event_id: newer.event_id });
  });

  it("M38 M43: state that changed in the same answer as newer messages is in required_state, in the timeline or not (synapse #20212)", async () => {
    const room = await follow(t, dialect, { config: { limit: 1, state: EVERYTHING.state } });
    const [topic, name] = [ev.topic(ALICE, "lunch"), ev.name(ALICE, "canteen")];
    await room.deliver({ timeline: [topic, ev.message(ALICE), name] });
    const told = await room.next();
    expect(timelineIds(told)).toEqual([name.event_id]);
    expect(stateEvent(told, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
    expect(stateEvent(told, "m.room.name")).toMatchObject({ event_id: name.event_id });
    const anew = await room.anew();
    expect(stateEvent(anew, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
    expect(stateEvent(anew, "m.room.name")).toMatchObject({ event_id: name.event_id });
  });

  it("M38: a change that v2 tells in its state block alone, without a gap, arrives (element-call #2458)", async () => {
    const call = (focus: string) => ev.state("org.matrix.msc3401.call.member", `_${BOB}_PHONE`, BOB, { focus });
    const config = { limit: 5, state: [["org.matrix.msc3401.call.member", "*"] as const] };
    const room = await follow(t, dialect, { config, state: [call("one")] });
    const moved = call("two");
    await room.deliver({ state: [moved] });
    expect(await room.next()).toMatchObject({ required_state: [{ event_id: moved.event_id }] });
    expect(await room.anew()).toMatchObject({ required_state: [{ event_id: moved.event_id }] });
  });

  it("T6 M35: what unsigned says of the reader's membership is said to each reader of an event as it is for him (sliding-sync #421)", async () => {
    const id = `!unsigned-${dialect}:test`;
    const message = ev.message(ALICE);
    const seenBy = async (user: string, membership: string): Promise<RoomAnswer | undefined> => {
      const names = { me: user, id };
      const own = { ...message, unsigned: { membership, "io.element.msc4115.membership": membership } };
      const room = await follow(t, dialect, { names, parts: { timeline: [own] } });
      return (room.first["timeline"] as RoomAnswer[]).find((event) => event["event_id"] === message.event_id);
    };
    expect((await seenBy(`@early-${dialect}:test`, "join"))?.["unsigned"]).toMatchObject({ membership: "join" });
    expect((await seenBy(`@late-${dialect}:test`, "invite"))?.["unsigned"]).toMatchObject({ membership: "invite" });
  });

  it("M44: redactions of version 11, which name their event in the content only, and redacted redactions (hebbot #104)", async () => {
    const [message, other] = messages(2) as [MatrixEvent, MatrixEvent];
    const create = ev.create(ALICE, { room_version: "11" });
    const room = await follow(t, dialect, { config: EVERYTHING, state: [create], parts: { timeline: [message, other] } });
    const redaction = ev.event("m.room.redaction", ALICE, { redacts: message.event_id });
    const hollow = ev.event("m.room.redaction", ALICE, {}, { unsigned: { redacted_because: ev.redaction(ALICE, "$x") } });
    await room.deliver({ timeline: [redaction, hollow] });
    expect(timelineIds(await room.next())).toEqual(ids([redaction, hollow]));
    const told = (await room.anew())?.["timeline"] as RoomAnswer[];
    const contents = Object.fromEntries(told.map((event) => [event["event_id"], event["content"]]));
    expect(contents).toMatchObject({ [message.event_id]: {}, [other.event_id]: other.content, [hollow.event_id]: {} });
    expect(contents[message.event_id]).not.toHaveProperty("body");
  });

  it("M32 M37: a room that was left is told with the state as of then, also with timeline_limit 0 (synapse #16932)", async () => {
    const config = { limit: 0, state: [["m.room.topic", ""] as const] };
    const room = await follow(t, dialect, { config, state: [ev.topic(ALICE, "at first")] });
    const topic = ev.topic(ALICE, "at last");
    await room.leave({ state: [topic], timeline: [ev.member(room.me, "leave")], ...GAP });
    expect(stateEvent(await room.next(), "m.room.topic")).toMatchObject({ event_id: topic.event_id });
  });
});

describe("sync v3", () => {
  it("S4: a state event that the timeline's filter leaves out is state all the same (synapse #16930)", async () => {
    const one = scene(t, { others: [BOB] });
    const only = { room: { room_id: one.room, types: ["m.room.message"] } };
    const first = await one.client.sync(only);
    const [message, topic] = [ev.message(BOB), ev.topic(one.me, "filtered out")];
    await one.deliver({ timeline: [message, topic] });
    const then = (await one.client.sync({}, { since: first.next }))["room"].rooms[one.room];
    expect(ids(then.timeline.events)).toEqual([message.event_id]);
    const states = [then.state?.events ?? [], (await one.client.sync(only))["room"].rooms[one.room].state.events] as Json[][];
    for (const state of states) expect(state).toContainEqual(expect.objectContaining({ event_id: topic.event_id }));
  });
});
