import { beforeAll, describe, expect, it } from "vitest";
import { ev, type MatrixEvent } from "../support/fake-homeserver.ts";
import { ALICE, BOB, follow, followNothing, messages, newNames } from "../support/followed-room.ts";
import { RoomRoutes } from "../support/rooms.ts";
import { DIALECTS, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

let routes: RoomRoutes;
const t = v3Server();
beforeAll(() => {
  routes = new RoomRoutes(t.hs);
});

const BUMPING = ["m.room.message", "m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start", "m.beacon_info"];

describe.each(DIALECTS)("bump_stamp", (dialect) => {
  it("M28: it is a whole number at first, also of a room without activity", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1) } });
    expect(Number.isSafeInteger(room.first["bump_stamp"])).toBe(true);
    const quiet = await follow(t, dialect);
    expect(Number.isSafeInteger(quiet.first["bump_stamp"])).toBe(true);
    expect(quiet.first["bump_stamp"]).toBeGreaterThanOrEqual(0);
  });

  it("M28: each type of activity raises it", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1) } });
    let before = room.first["bump_stamp"] as number;
    for (const type of BUMPING) {
      await room.deliver({ timeline: [type === "m.beacon_info" ? ev.state(type, ALICE, ALICE, {}) : ev.event(type, ALICE, {})] });
      const stamp = (await room.next())?.["bump_stamp"] as number;
      expect(stamp, type).toBeGreaterThan(before);
      before = stamp;
    }
  });

  it("M28: other events do not, and leave it out", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1) } });
    const others = [ev.event("m.reaction", ALICE, {}), ev.topic(ALICE, "x"), ev.member(BOB), ev.event("m.room.redaction", ALICE, { redacts: "$x" })];
    for (const other of others) {
      await room.deliver({ timeline: [other] });
      const sent = await room.next();
      expect(timelineIds(sent)).toEqual([other.event_id]);
      expect(sent).not.toHaveProperty("bump_stamp");
    }
    expect(await room.anew()).toMatchObject({ bump_stamp: room.first["bump_stamp"] });
  });

  it("M28: if no events are asked for, activity ends no wait, but is sent nevertheless", async () => {
    const config = { limit: 0, state: [["m.room.topic", ""] as const] };
    const room = await follow(t, dialect, { config, parts: { timeline: messages(1) } });
    const started = performance.now();
    const waiting = room.next(config, { timeout: 600 });
    await room.deliver({ timeline: messages(1) });
    const sent = await waiting;
    expect(performance.now() - started + 2).toBeGreaterThanOrEqual(600);
    expect(sent?.["bump_stamp"]).toBeGreaterThan(room.first["bump_stamp"] as number);
    expect(sent).not.toHaveProperty("timeline");
    expect(await room.next()).toBeUndefined();
  });

  it("M28: where the timeline is limited it is sent, also unchanged", async () => {
    const room = await follow(t, dialect, { config: { limit: 2 }, parts: { timeline: messages(1) } });
    await room.deliver({ timeline: [ev.topic(ALICE, "1"), ev.topic(ALICE, "2"), ev.topic(ALICE, "3")] });
    expect(await room.next()).toMatchObject({ limited: true, bump_stamp: room.first["bump_stamp"] });
  });

  it("M28: older events that are fetched do not raise it", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1), limited: true, prev_batch: "p1" } });
    const older: MatrixEvent[] = messages(3);
    routes.messages(room.id, { chunk: older.toReversed() });
    const opened = await room.ask({ subs: { [room.id]: { limit: 20 } } });
    expect(timelineIds(opened)).toHaveLength(4);
    expect(await room.anew()).toMatchObject({ bump_stamp: room.first["bump_stamp"] });
  });

  it("M28: of an invite it is when that came, and a newer one is greater", async () => {
    const nobody = await followNothing(t, dialect);
    const [one, two] = [newNames().id, newNames().id];
    const own = { type: "m.room.member", state_key: nobody.me, sender: ALICE, content: { membership: "invite" } };
    await nobody.give({ invite: { [one]: [own] } });
    await nobody.next();
    const first = nobody.answer.rooms[one]?.["bump_stamp"] as number;
    expect(Number.isSafeInteger(first)).toBe(true);
    await nobody.give({ invite: { [two]: [own] } });
    await nobody.next();
    expect(nobody.answer.rooms[two]?.["bump_stamp"]).toBeGreaterThan(first);
  });

  it("M28: of a room that was left it is when that came about", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1) } });
    await room.leave({ timeline: [ev.member(room.me, "leave", {}, { sender: ALICE })] });
    const sent = await room.next();
    expect(sent?.["bump_stamp"]).toBeGreaterThan(room.first["bump_stamp"] as number);
    expect(await room.anew()).toMatchObject({ bump_stamp: sent?.["bump_stamp"] });
  });

  it("M28: among rooms it is in the order of their activity", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1) } });
    const other = newNames().id;
    await room.give({ join: { [other]: { state: [ev.create(BOB), ev.member(room.me)], timeline: [ev.message(BOB)] } } });
    await room.next();
    const stamp = room.answer.rooms[other]?.["bump_stamp"] as number;
    expect(stamp).toBeGreaterThan(room.first["bump_stamp"] as number);
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect((await room.next())?.["bump_stamp"]).toBeGreaterThan(stamp);
  });
});
