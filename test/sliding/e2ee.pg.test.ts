/** The e2ee extension: device lists since the position, and key counts. */

import { describe, expect, it } from "vitest";
import { type Json, toDevice, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED, SHORT } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const E2EE: Ask = { ext: { e2ee: { enabled: true } } };
const KEYS = { one_time_keys: { signed_curve25519: 50 }, fallback_keys: ["signed_curve25519"] } as const;
const COUNTS = { device_one_time_keys_count: { signed_curve25519: 50 }, device_unused_fallback_key_types: ["signed_curve25519"] };
const keys = (parts: Json = {}) => v2({ one_time_keys: { ...KEYS.one_time_keys }, fallback_keys: [...KEYS.fallback_keys], ...parts });
const changed = (...users: string[]) => keys({ device_lists: { changed: users } });
const sectionOf = (answer: Answer): Json => answer.extensions["e2ee"] as Json;
const listsOf = (answer: Answer): unknown => sectionOf(answer)["device_lists"];

describe.each(DIALECTS)("e2ee (%s)", (dialect) => {
  /** A device whose key counts are known. */
  async function withKeys() {
    const { client, me, room } = scene(t);
    const phone = new SlidingClient(client, dialect);
    await phone.sync();
    await t.deliver(client, keys());
    return { client, me, room, phone, first: await phone.sync(E2EE) };
  }

  it("M48: it is not sent unless it is enabled", async () => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, changed("@bob:test"));
    expect((await phone.sync({}, { pos: first.pos })).extensions).toEqual({});
    expect((await phone.sync({ ext: { e2ee: { enabled: false } } }, { pos: first.pos })).extensions).toEqual({});
  });

  it("M48: the first answer of a further device waits until its key counts are known", async () => {
    const { me } = await withKeys();
    const token = t.hs.login(me, "TABLET");
    // The first poll is not answered until there is something to say: an empty response says that there are no keys.
    t.hs.holdSync(token);
    const tablet = new SlidingClient(t.clientOf(me, "TABLET", token), dialect);
    const first = tablet.sync(E2EE);
    await t.hs.waitForPoll(token);
    t.hs.queueSync(token, keys());
    t.hs.holdSync(token, false);
    expect(sectionOf(await first)).toEqual(COUNTS);
  });

  it("M48: at first there are key counts and no device lists", async () => {
    const { phone, client, first } = await withKeys();
    expect(sectionOf(first)).toEqual(COUNTS);
    await t.deliver(client, changed("@bob:test"));
    expect(sectionOf(await phone.sync(E2EE))).toEqual(COUNTS);
  });

  it("M48: device lists since the position, changed and left, and none again", async () => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, keys({ device_lists: { changed: ["@bob:test", "@carol:test"], left: ["@dave:test"] } }));
    const then = await phone.sync(E2EE, { pos: first.pos });
    expect(sectionOf(then)).toEqual({ ...COUNTS, device_lists: { changed: ["@bob:test", "@carol:test"], left: ["@dave:test"] } });
    expect(sectionOf(await phone.sync(E2EE, { pos: then.pos }))).toEqual(COUNTS);
  });

  it("M48: if a user left and came back, or changed twice, the latest counts", async () => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, keys({ device_lists: { changed: ["@bob:test"], left: ["@carol:test"] } }));
    await t.deliver(client, keys({ device_lists: { changed: ["@bob:test", "@carol:test"] } }));
    await t.deliver(client, keys({ device_lists: { left: ["@bob:test"] } }));
    expect(listsOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual({ changed: ["@carol:test"], left: ["@bob:test"] });
  });

  it("M48 M3: a retry has the same lists, and what came meanwhile", async () => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, changed("@bob:test"));
    const lost = await phone.sync(E2EE, { pos: first.pos });
    expect(listsOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual(listsOf(lost));
    await t.deliver(client, changed("@carol:test"));
    expect(listsOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual({ changed: ["@bob:test", "@carol:test"], left: [] });
    expect(listsOf(await phone.sync(E2EE, { pos: lost.pos }))).toEqual({ changed: ["@carol:test"], left: [] });
  });

  it("M48: each connection has its own position", async () => {
    const { phone, client, first } = await withKeys();
    const other = await phone.sync({ ...E2EE, connId: "other" });
    await t.deliver(client, changed("@bob:test"));
    const [a, b] = [await phone.sync(E2EE, { pos: first.pos }), await phone.sync({ ...E2EE, connId: "other" }, { pos: other.pos })];
    expect([listsOf(a), listsOf(b)]).toEqual([
      { changed: ["@bob:test"], left: [] },
      { changed: ["@bob:test"], left: [] },
    ]);
  });

  it("M48 M45: changes while it was disabled are sent once it is enabled again", async () => {
    const { phone, client, first } = await withKeys();
    const off = await phone.sync(ALL, { pos: first.pos });
    await t.deliver(client, changed("@bob:test"));
    const still = await phone.sync(ALL, { pos: off.pos });
    expect(newsOf(still)["e2ee"]).toBeUndefined();
    expect(listsOf(await phone.sync(E2EE, { pos: still.pos }))).toEqual({ changed: ["@bob:test"], left: [] });
  });

  it("M48 M45: the request that first enables it gets the changes since its position, and none from before that", async () => {
    const { phone, client } = await withKeys();
    const start = await phone.sync(ALL);
    await t.deliver(client, changed("@early:test"));
    const without = await phone.sync(ALL, { pos: start.pos });
    await t.deliver(client, keys({ device_lists: { changed: ["@bob:test"], left: ["@carol:test"] } }));
    const on = await phone.sync(E2EE, { pos: without.pos });
    expect(sectionOf(on)).toEqual({ ...COUNTS, device_lists: { changed: ["@bob:test"], left: ["@carol:test"] } });
    expect(sectionOf(await phone.sync(E2EE, { pos: without.pos })), "a retry").toEqual(sectionOf(on));
    expect(sectionOf(await phone.sync(E2EE, { pos: on.pos }))).toEqual(COUNTS);
  });

  it("M48 M7: device lists end a wait", async () => {
    const { phone, client, first } = await withKeys();
    const { answer } = await hangSliding(t, phone, E2EE, { pos: first.pos, timeout: LONG });
    await t.deliver(client, changed("@bob:test"));
    expect(listsOf(await answer)).toEqual({ changed: ["@bob:test"], left: [] });
  });

  it("M48 M7: one-time and fallback keys end none, and are sent after the timeout", async () => {
    const { phone, client, first } = await withKeys();
    const waiting = phone.sync(E2EE, { pos: first.pos, timeout: SHORT });
    await t.deliver(client, v2({ one_time_keys: { signed_curve25519: 3 }, fallback_keys: [] }));
    const answer = await waiting;
    expect(sectionOf(answer)).toEqual({ device_one_time_keys_count: { signed_curve25519: 3 }, device_unused_fallback_key_types: [] });
  });

  it("M48: used-up keys are sent as 0: the section is always complete", async () => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, v2({ one_time_keys: { signed_curve25519: 0 }, fallback_keys: [] }));
    for (const options of [{ pos: first.pos }, {}]) {
      expect(sectionOf(await phone.sync(E2EE, options))).toEqual({
        device_one_time_keys_count: { signed_curve25519: 0 },
        device_unused_fallback_key_types: [],
      });
    }
  });

  it("M48: counts that the homeserver does not send are not made up", async () => {
    const { client } = scene(t);
    const phone = new SlidingClient(client, dialect);
    await phone.sync();
    await t.deliver(client, v2({ one_time_keys: { signed_curve25519: 1 } }));
    expect(sectionOf(await phone.sync(E2EE))).toEqual({ device_one_time_keys_count: { signed_curve25519: 1 } });
  });

  it("M48: a further device that was not polled yet has no counts, and then its own", async () => {
    const { me, client, first, phone } = await withKeys();
    const token = t.hs.login(me, "TABLET");
    t.hs.holdSync(token);
    const tablet = new SlidingClient(t.clientOf(me, "TABLET", token), dialect);
    expect(sectionOf(await tablet.sync(E2EE))).toEqual({});
    t.hs.queueSync(token, v2({ one_time_keys: { signed_curve25519: 7 }, fallback_keys: [] }));
    t.hs.holdSync(token, false);
    await t.hs.waitForPoll(token);
    expect(sectionOf(await tablet.sync(E2EE))).toMatchObject({ device_one_time_keys_count: { signed_curve25519: 7 } });
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos })), "and the other one keeps its own").toEqual(COUNTS);
    await t.deliver(client, v2({ to_device: [toDevice("@bob:test")] }));
  });

  /** The user's second device, with a connection. The phone's poll fetches the rooms. */
  async function withTablet() {
    const one = await withKeys();
    const tablet = new SlidingClient(t.login(one.me, "TABLET", keys()), dialect);
    const begun = await tablet.sync(E2EE);
    await t.hs.waitForPoll(tablet.client.token);
    return { ...one, tablet, begun };
  }

  it("T10: what the account's room poll brings is every device's, and ends the other devices' waits", async () => {
    const { client, phone, first, tablet, begun } = await withTablet();
    const { answer } = await hangSliding(t, tablet, E2EE, { pos: begun.pos, timeout: LONG });
    await t.deliver(client, changed("@bob:test"));
    expect(listsOf(await answer)).toEqual({ changed: ["@bob:test"], left: [] });
    await t.deliver(client, keys({ device_lists: { left: ["@bob:test"] } }), changed("@carol:test"), changed("@bob:test"));
    expect(listsOf(await tablet.sync(E2EE, { pos: begun.pos }))).toEqual({ changed: ["@bob:test", "@carol:test"], left: [] });
    expect(listsOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual({ changed: ["@bob:test", "@carol:test"], left: [] });
  });

  it("T10: the second device misses nothing when its poller takes the rooms over", async () => {
    const { client, tablet, begun } = await withTablet();
    await t.deliver(client, changed("@bob:test"));
    t.hs.revoke(client.token);
    await t.hs.waitForRequest({
      path: /\/sync$/,
      token: tablet.client.token,
      where: ({ query }) => !(query.get("filter") ?? "").includes('"rooms":[]'),
    });
    // The fake homeserver numbers the answers of each device, and a real one never goes back (T3).
    await t.deliver(tablet.client, { ...changed("@carol:test"), next_batch: "s100" });
    expect(listsOf(await tablet.sync(E2EE, { pos: begun.pos }))).toEqual({ changed: ["@bob:test", "@carol:test"], left: [] });
  });

  it("T10: a new device is not sent earlier changes, and nothing is stored for a device without a connection", async () => {
    const { me, client } = await withKeys();
    const tablet = new SlidingClient(t.login(me, "TABLET", keys()), dialect);
    await tablet.sync();
    await t.hs.waitForPoll(tablet.client.token);
    await t.sql`delete from sessions where device = (select d.device from devices d join accounts a using (account) where a.user_id = ${me} and device_id = 'TABLET')`;
    await t.deliver(client, changed("@bob:test"));
    const rows = await t.sql`
      select l.user_id from device_lists l join devices d using (device) join accounts a using (account) where a.user_id = ${me} and device_id = 'TABLET'`;
    expect([...rows]).toEqual([]);
    expect(listsOf(await tablet.sync(E2EE)), "a first answer has no lists").toBeUndefined();
  });

  it.each([
    ["absent", v2({ to_device: [toDevice("@bob:test")] })],
    ["{}", v2({ one_time_keys: {} })],
  ])("T12: counts that are %s after there were some are 0 for each algorithm", async (_, none) => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, none);
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual({ ...COUNTS, device_one_time_keys_count: { signed_curve25519: 0 } });
  });

  it("M48 M5: a restart is not noticeable", async () => {
    const { phone, client, first } = await withKeys();
    await t.deliver(client, changed("@bob:test"));
    await t.restart();
    const then = await phone.sync(E2EE, { pos: first.pos });
    expect(sectionOf(then)).toEqual({ ...COUNTS, device_lists: { changed: ["@bob:test"], left: [] } });
    await t.restart();
    expect(sectionOf(await phone.sync(E2EE, { pos: then.pos }))).toEqual(COUNTS);
  });
});
