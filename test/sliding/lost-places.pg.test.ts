/** Lost positions: the homeserver's, or our own database's after a restore from a backup. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, toDevice, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangReply, LONG, NOTED, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";

describe.each(DIALECTS)("lost positions (%s)", (dialect) => {
  it("M1 M48 D26: a since that the homeserver forgot ends connections, waiting ones at once: device lists cannot be sent exactly", async () => {
    const one = scene(t, { others: [BOB], timeline: [ev.message(BOB, "before")] });
    const phone = new SlidingClient(one.client, dialect);
    const ask = { ...ALL, ext: { e2ee: { enabled: true }, to_device: { enabled: true } } };
    const first = await phone.sync(ask);
    await t.hs.waitForPoll(one.client.token);
    const { reply } = await hangReply(t, phone, ask, { pos: first.pos, timeout: LONG });
    t.hs.fail(
      { path: /\/sync$/, token: one.client.token, where: (request) => request.query.has("since") },
      { status: 400, body: { errcode: "M_UNKNOWN", error: "Unknown since" } },
      2,
    );
    const after = ev.message(BOB, "after");
    const state = [...newRoom(one.me).filter((event) => event.type !== "m.room.member"), ...one.members];
    const parts = { state, timeline: [after], limited: true, prev_batch: "gap", summary: { "m.joined_member_count": 2 } };
    const fresh = v2({ next_batch: `fresh-${dialect}`, join: { [one.room]: parts }, to_device: [toDevice(BOB, { n: 2 })] });
    t.hs.fail({ path: /\/sync$/, token: one.client.token, where: (request) => !request.query.has("since") }, { body: fresh });
    t.hs.disconnect();
    const { status, body } = await reply;
    expect([status, body]).toEqual([400, UNKNOWN_POS]);
    await t.hs.waitForRequest({ path: /\/sync$/, token: one.client.token, where: (request) => request.query.get("since") === `fresh-${dialect}` });
    t.hs.heal();
    const again = await phone.sync(ask);
    expect([timelineIds(again.rooms[one.room]), again.rooms[one.room]?.["limited"]]).toEqual([[after.event_id], true]);
    expect(again.extensions["to_device"].events).toEqual([toDevice(BOB, { n: 2 })]);
  });

  it("M1 D26: a position from before our own database was restored is unknown, and so is every other of the account", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const first = await phone.sync(ALL);
    const other = await phone.sync({ ...ALL, connId: "other" });
    await one.deliver({ timeline: [ev.message(BOB)] });
    const ahead = await phone.sync(ALL, { pos: first.pos });
    await t.sql`update accounts set position = position - 1 where user_id = ${one.me}`;
    expect((await phone.request(ALL, { pos: ahead.pos })).body).toEqual(UNKNOWN_POS);
    expect((await phone.request({ ...ALL, connId: "other" }, { pos: other.pos })).body).toEqual(UNKNOWN_POS);
    expect(Object.keys((await phone.sync(ALL)).rooms)).toEqual([one.room]);
  });

  it("M1 M48 D26: so is one that says more of device lists than there is", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const ask = { ext: { e2ee: { enabled: true } } };
    const first = await phone.sync(ask);
    await t.deliver(one.client, v2({ device_lists: { changed: [BOB] } }));
    const ahead = await phone.sync(ask, { pos: first.pos });
    await t.sql`update devices set seq = 0 where account = (select account from accounts where user_id = ${one.me})`;
    expect((await phone.request(ask, { pos: ahead.pos })).body).toEqual(UNKNOWN_POS);
  });

  it("M1 M18 D25: when somebody is no longer ignored connections begin from scratch, as what was left out is sent then", async () => {
    const one = scene(t, { others: [BOB] });
    const phone = new SlidingClient(one.client, dialect);
    const ignoring = (...users: string[]) =>
      v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) } }] });
    await phone.sync(ALL);
    await t.deliver(one.client, ignoring(BOB));
    const message = ev.message(BOB);
    await one.deliver({ timeline: [message] });
    const { pos, rooms } = await phone.sync(ALL);
    expect(timelineIds(rooms[one.room])).not.toContain(message.event_id);
    const { reply } = await hangReply(t, phone, ALL, { pos, timeout: LONG });
    await t.deliver(one.client, ignoring());
    expect((await reply).body).toEqual(UNKNOWN_POS);
    expect(timelineIds((await phone.sync(ALL)).rooms[one.room])).toContain(message.event_id);
  });
});
