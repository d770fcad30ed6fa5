/** When a request is answered: at once, when there is news, or after its timeout. */

import { describe, expect, it } from "vitest";
import { forgetRoom } from "../../src/store/forget.ts";
import type { AccountNo, RoomId } from "../../src/wire/ids.ts";
import { ev, type Json, newRoom, receipt, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangReply, hangSliding, LONG, newsOf, NOTED, SHORT, timedSliding } from "../support/sliding-waits.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const on = (...names: string[]): Json => Object.fromEntries(names.map((name) => [name, { enabled: true }]));

/** Delivers some v2 responses to the device, one after the other. */
async function deliverAll(client: V3Client, responses: readonly Json[]): Promise<void> {
  for (const response of responses) await t.deliver(client, response);
}

describe.each(DIALECTS)("waiting (%s)", (dialect) => {
  const phoneOf = (one: { client: V3Client }) => new SlidingClient(one.client, dialect);

  it("M7: without a position there is no wait, whatever the timeout", async () => {
    const phone = phoneOf(scene(t));
    await phone.sync(ALL);
    const { elapsed, answer } = await timedSliding(phone, { ext: on("to_device") }, { timeout: LONG });
    expect(elapsed).toBeLessThan(10_000);
    expect(newsOf(answer)).toEqual({});
  });

  it("M7: without a timeout, or one of 0, the answer comes at once", async () => {
    const phone = phoneOf(scene(t));
    const { pos } = await phone.sync(ALL);
    expect(newsOf(await phone.sync(ALL, { pos }))).toEqual({});
    expect(newsOf(await phone.sync(ALL, { pos, timeout: 0 }))).toEqual({});
  });

  it("M7: news that is already there is answered at once, whatever the timeout", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const { pos } = await phone.sync(ALL);
    const message = ev.message(BOB);
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await phone.sync(ALL, { pos, timeout: LONG })).rooms[one.room])).toEqual([message.event_id]);
  });

  it("M7: news wakes a request even if it does not follow the cached view of the account", async () => {
    const one = scene(t);
    const [phone, gone] = [phoneOf(one), "!gone:test"];
    const first = await phone.sync(ALL);
    await t.deliver(one.client, v2({ leave: { [gone]: { timeline: [ev.member(one.me, "leave")] } } }));
    const { pos } = await phone.sync(ALL, { pos: first.pos });
    const { answer } = await hangSliding(t, phone, ALL, { pos, timeout: LONG });
    // As if another process had stored it, and its wake-up were still on the way.
    const [row] = await t.sql<{ account: AccountNo }[]>`select account from accounts where user_id = ${one.me}`;
    if (!row) throw new Error("there is no account");
    await forgetRoom(t.sql, row.account, gone as RoomId);
    const message = ev.message(BOB);
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
  });

  it("M7: without news the answer is 200 and says nothing, after the timeout", async () => {
    const phone = phoneOf(scene(t));
    const ask = { ...ALL, ext: on("to_device", "e2ee", "account_data", "receipts", "typing") };
    const { pos } = await phone.sync(ask);
    const { answer, elapsed } = await timedSliding(phone, ask, { pos, timeout: SHORT });
    expect(elapsed).toBeGreaterThanOrEqual(SHORT);
    expect([newsOf(answer)["rooms"], answer.lists["all"]?.count]).toEqual([undefined, 1]);
    const again = await timedSliding(phone, ask, { pos: answer.pos, timeout: SHORT });
    expect(again.elapsed).toBeGreaterThanOrEqual(SHORT);
  });

  it("M7 M49 M50 M51 M46 M48: each kind of news ends the wait of a request that asks for it", async () => {
    const one = scene(t, { timeline: [ev.message(BOB, "first", { event_id: `$seen-${dialect}` })] });
    const phone = phoneOf(one);
    const kinds: readonly [name: string, response: Json][] = [
      ["typing", v2({ join: { [one.room]: { ephemeral: [typing(BOB)] } } })],
      ["receipts", v2({ join: { [one.room]: { ephemeral: [receipt(`$seen-${dialect}`, BOB)] } } })],
      ["account_data", v2({ join: { [one.room]: { account_data: [{ type: "m.tag", content: { tags: {} } }] } } })],
      ["account_data", v2({ account_data: [{ type: "x", content: {} }] })],
      ["to_device", v2({ to_device: [toDevice(BOB)] })],
      ["e2ee", v2({ device_lists: { changed: [BOB] } })],
    ];
    for (const [name, response] of kinds) {
      const ask = { ...ALL, ext: on(name) };
      const { pos } = await phone.sync(ask);
      const { answer } = await hangSliding(t, phone, ask, { pos, timeout: LONG });
      await t.deliver(one.client, response);
      expect(Object.keys(newsOf(await answer)), name).toEqual([name]);
    }
  });

  it("M7 TestConnectionTimeoutNotReset: what was not asked for neither ends a wait nor restarts it", async () => {
    const one = scene(t, { others: [BOB] });
    const phone = phoneOf(one);
    const ask = { subs: { [one.room]: { limit: 5 } } };
    const { pos } = await phone.sync(ask);
    const { answer } = await hangSliding(t, phone, ask, { pos, timeout: LONG });
    await deliverAll(one.client, [
      v2({ join: { [`${one.room}other`]: { state: newRoom(one.me), timeline: [ev.message(BOB)] } } }),
      v2({ join: { [one.room]: { ephemeral: [typing(BOB), receipt("$e1", BOB)], account_data: [{ type: "m.tag", content: { tags: {} } }] } } }),
      v2({ to_device: [toDevice(BOB)], device_lists: { changed: [BOB] }, account_data: [{ type: "x", content: {} }] }),
      v2({ invite: { [`${one.room}invite`]: [{ type: "m.room.member", state_key: one.me, sender: BOB, content: { membership: "invite" } }] } }),
    ]);
    const message = ev.message(BOB);
    await one.deliver({ timeline: [message] });
    const then = await answer;
    expect([Object.keys(newsOf(then)), timelineIds(then.rooms[one.room])]).toEqual([["rooms"], [message.event_id]]);
    const over = timedSliding(phone, ask, { pos: then.pos, timeout: 1000 });
    const done = over.then(() => true);
    while (!(await Promise.race([done, Promise.resolve(false)]))) await t.deliver(one.client, v2({ to_device: [toDevice(BOB)] }));
    expect(newsOf((await over).answer)).toEqual({});
  });

  it("M7 M48: key counts end no wait, and are in the answer that comes then", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const ask = { ext: on("e2ee") };
    await phone.sync(ask);
    await t.deliver(one.client, v2({ one_time_keys: { signed_curve25519: 50 }, fallback_keys: ["signed_curve25519"] }));
    const { pos } = await phone.sync(ask);
    const { answer } = await hangSliding(t, phone, ask, { pos, timeout: LONG });
    await t.deliver(one.client, v2({ one_time_keys: { signed_curve25519: 49 }, fallback_keys: [] }));
    await t.deliver(one.client, v2({ one_time_keys: { signed_curve25519: 49 }, fallback_keys: [], device_lists: { changed: [BOB] } }));
    expect((await answer).extensions["e2ee"]).toEqual({
      device_lists: { changed: [BOB], left: [] },
      device_one_time_keys_count: { signed_curve25519: 49 },
      device_unused_fallback_key_types: [],
    });
  });

  it("M7: a list's count alone ends no wait", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const ask = { lists: { all: { ranges: [[0, 0]] as const } } };
    const { pos } = await phone.sync(ask);
    // A room older than all others is beyond the window.
    const { answer } = await hangSliding(t, phone, ask, { pos, timeout: LONG });
    const old = [ev.create(one.me, {}, { origin_server_ts: 1 }), ev.member(one.me)];
    await t.deliver(one.client, v2({ join: { [`${one.room}old`]: { state: old }, [one.room]: { timeline: [ev.message(BOB)] } } }));
    const then = await answer;
    expect([Object.keys(then.rooms), then.lists["all"]?.count]).toEqual([[one.room], 2]);
  });

  it("M7: another device's messages and lists end no wait", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const tablet = new SlidingClient(t.login(one.me, "TABLET"), dialect);
    const ask = { ext: on("to_device", "e2ee", "account_data") };
    const { pos } = await phone.sync(ask);
    await tablet.sync(ask);
    await t.hs.waitForPoll(tablet.client.token);
    const { answer } = await hangSliding(t, phone, ask, { pos, timeout: LONG });
    await t.deliver(tablet.client, v2({ to_device: [toDevice(BOB)], device_lists: { changed: [BOB] } }));
    await t.deliver(one.client, v2({ account_data: [{ type: "x", content: {} }] }));
    expect(Object.keys(newsOf(await answer))).toEqual(["account_data"]);
  });

  it("M7 M40 M36: a config that asks for more is answered at once", async () => {
    const one = scene(t, { state: [ev.topic("@x:test", "tea")], timeline: [ev.message(BOB), ev.message(BOB)] });
    const phone = phoneOf(one);
    const asking = (limit: number, ...state: [string, string][]) => ({ subs: { [one.room]: { limit, state } } });
    const first = await phone.sync(asking(1));
    const state = await phone.sync(asking(1, ["m.room.topic", ""]), { pos: first.pos, timeout: LONG });
    expect(state.rooms[one.room]?.["required_state"]).toHaveLength(1);
    const events = await phone.sync(asking(2, ["m.room.topic", ""]), { pos: state.pos, timeout: LONG });
    expect(events.rooms[one.room]).toMatchObject({ unstable_expanded_timeline: true });
    expect(timelineIds(events.rooms[one.room])).toHaveLength(2);
  });

  it("M7 M45: an extension that is enabled is answered at once where there is something", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const first = await phone.sync(ALL);
    await t.deliver(one.client, v2({ account_data: [{ type: "x", content: { n: 1 } }], to_device: [toDevice(BOB)] }));
    const data = await phone.sync({ ...ALL, ext: on("account_data") }, { pos: first.pos, timeout: LONG });
    expect(data.extensions["account_data"].global).toEqual([{ type: "x", content: { n: 1 } }]);
    const messages = await phone.sync({ ...ALL, ext: on("to_device") }, { pos: data.pos, timeout: LONG });
    expect(messages.extensions["to_device"].events).toEqual([toDevice(BOB)]);
  });

  it("M7: a token that dies ends the wait with 401", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const { pos } = await phone.sync(ALL);
    const { reply } = await hangReply(t, phone, ALL, { pos, timeout: LONG });
    t.hs.revoke(one.client.token);
    const { status, body } = await reply;
    expect([status, body["errcode"]]).toEqual([401, "M_UNKNOWN_TOKEN"]);
  });

  it("M7 M5: a server that stops answers waiting requests, and the position stays valid", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const { pos } = await phone.sync(ALL);
    const { answer } = await hangSliding(t, phone, ALL, { pos, timeout: LONG });
    await t.restart();
    const then = await answer;
    expect(newsOf(then)).toEqual({});
    await t.hs.waitForPoll(one.client.token);
    const message = ev.message(BOB);
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await phone.sync(ALL, { pos: then.pos, timeout: LONG })).rooms[one.room])).toEqual([message.event_id]);
  });
});
