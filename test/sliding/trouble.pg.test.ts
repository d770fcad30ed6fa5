/** What a client sees of trouble at the homeserver, and of tokens that change. */

import { afterEach, describe, expect, it } from "vitest";
import { ev, type Fault, toDevice, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { ALL, hangReply, hangSliding, LONG, newsOf, NOTED, SHORT } from "../support/sliding-waits.ts";
import { carry, numbered } from "../support/to-device.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: { ...NOTED, fetchMs: 200 } });
afterEach(() => t.hs.heal());

const TROUBLES: readonly [name: string, fault: Fault][] = [
  ["500", { status: 500, body: { errcode: "M_UNKNOWN", error: "oops" } }],
  ["502 of a proxy", { status: 502, body: "<html>bad gateway</html>" }],
  ["429", { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", error: "slow down", retry_after_ms: 50 } }],
  ["404", { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "what" } }],
  ["nonsense", { body: "nonsense" }],
  ["a broken connection", { cut: 0, body: { next_batch: "never" } }],
];

describe.each(DIALECTS)("trouble (%s)", (dialect) => {
  it("M59: polls that fail are no error of a sync, and what comes afterwards is sent", async () => {
    for (const [name, fault] of TROUBLES) {
      const one = scene(t);
      const phone = new SlidingClient(one.client, dialect);
      const first = await phone.sync(ALL);
      await t.hs.waitForPoll(one.client.token);
      t.hs.fail({ path: /\/sync$/, token: one.client.token }, fault, 1000);
      const { answer } = await hangSliding(t, phone, ALL, { pos: first.pos, timeout: SHORT });
      t.hs.disconnect();
      const during = await answer;
      expect([newsOf(during), Object.keys((await phone.sync({ ...ALL, connId: "anew" })).rooms)], name).toEqual([{}, [one.room]]);
      t.hs.heal();
      const message = ev.message("@bob:test");
      await one.deliver({ timeline: [message] });
      expect(timelineIds((await phone.sync(ALL, { pos: during.pos, timeout: LONG })).rooms[one.room]), name).toEqual([message.event_id]);
    }
  }, 60_000);

  it("M59: while the owner of an unknown token cannot be determined, the client is asked to retry", async () => {
    for (const [name, fault] of TROUBLES) {
      const one = scene(t);
      const phone = new SlidingClient(one.client, dialect);
      t.hs.fail({ path: /whoami$/, token: one.client.token }, fault, 1000);
      const reply = await phone.request(ALL);
      expect([reply.status, reply.body["errcode"]], name).toEqual([429, "M_LIMIT_EXCEEDED"]);
      expect(reply.body["retry_after_ms"]).toBeGreaterThan(0);
      expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
      t.hs.heal();
      expect(Object.keys((await phone.sync(ALL)).rooms), name).toEqual([one.room]);
    }
  });

  it("M59: a token that was good stays usable while the homeserver cannot be asked about it", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(ALL);
    await t.sql`update tokens set verified_at = now() - interval '1 hour'`;
    t.hs.fail({ path: /whoami$/ }, { status: 503, body: "maintenance" }, 1000);
    expect(newsOf(await phone.sync(ALL, { pos }))).toEqual({});
  });

  it("M59 M43: members and history that cannot be fetched hold an answer up for a moment, and come later", async () => {
    const one = scene(t, { others: ["@bob:test"], timeline: [ev.message("@bob:test")] });
    const phone = new SlidingClient(one.client, dialect);
    for (const path of [/\/members$/, /\/messages$/]) t.hs.fail({ path }, { status: 500, body: "oops" }, 1000);
    const ask = { subs: { [one.room]: { limit: 20, state: [["m.room.member", "*"]] as const } } };
    const first = await phone.sync(ask);
    expect([first.rooms[one.room]?.["initial"], timelineIds(first.rooms[one.room]).length]).toEqual([true, 1]);
    t.hs.heal();
    let then = await phone.sync(ask, { pos: first.pos });
    while (then.rooms[one.room] === undefined) then = await phone.sync(ask, { pos: then.pos, timeout: SHORT });
    expect(stateOf(then.rooms[one.room])).toEqual(["m.room.member|@bob:test", `m.room.member|${one.me}`].sort());
  });

  it("M60: a refreshed token has the connection, its position and the queue", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const ask = { ...ALL, ext: { to_device: { enabled: true }, e2ee: { enabled: true } } };
    const first = await phone.sync(ask);
    await t.deliver(one.client, carry(...numbered(1, 1)));
    const fresh = t.refresh(one.client);
    const refreshed = new SlidingClient(fresh, dialect);
    const then = await refreshed.sync(ask, { pos: first.pos });
    expect([then.rooms, then.extensions["to_device"].events]).toEqual([{}, numbered(1, 1)]);
    t.hs.revoke(one.client.token);
    await t.hs.waitForPoll(fresh.token);
    const message = ev.message("@bob:test");
    await t.deliver(fresh, v2({ join: { [one.room]: { timeline: [message] } }, to_device: [toDevice("@bob:test", { n: 2 })] }));
    const since = then.extensions["to_device"].next_batch as string;
    const last = await refreshed.sync({ ...ask, ext: { to_device: { enabled: true, since } } }, { pos: then.pos, timeout: LONG });
    expect([timelineIds(last.rooms[one.room]), last.extensions["to_device"].events]).toEqual([[message.event_id], numbered(2, 2)]);
  });

  it("M60: a token that dies is 401, and the next one continues where it was", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const first = await phone.sync(ALL);
    const { reply } = await hangReply(t, phone, ALL, { pos: first.pos, timeout: LONG });
    t.hs.revoke(one.client.token, true);
    const refused = await reply;
    expect([refused.status, refused.body]).toEqual([401, expect.objectContaining({ errcode: "M_UNKNOWN_TOKEN", soft_logout: true })]);
    const fresh = t.refresh(one.client);
    const refreshed = new SlidingClient(fresh, dialect);
    const message = ev.message("@bob:test");
    t.hs.queueSync(fresh.token, v2({ join: { [one.room]: { timeline: [message] } } }));
    expect(timelineIds((await refreshed.sync(ALL, { pos: first.pos, timeout: LONG })).rooms[one.room])).toEqual([message.event_id]);
  });

  it("M60 M1: after a log-out positions are unknown, also under the same device id", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(ALL);
    expect((await one.client.fetch("POST", "/_matrix/client/v3/logout", "{}")).status).toBe(200);
    const again = new SlidingClient(t.refresh(one.client), dialect);
    const { status, body } = await again.request(ALL, { pos });
    expect([status, body["errcode"]]).toEqual([400, "M_UNKNOWN_POS"]);
  });
});
