/** Wake-ups between processes over NATS (`-bus`). Skipped if nats-server cannot be installed. */

import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { isInstalled } from "../support/daemon.ts";
import { ev } from "../support/fake-homeserver.ts";
import { testLog } from "../support/logged.ts";
import { startNats, type TestNats } from "../support/nats-server.ts";
import { type Scene, scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { startV3, V3Fixture } from "../support/v3.ts";

const PASSWORD = "a-password-of-the-test";
const AWAY = "NATS is unavailable: no wake-ups from other processes until it is back";
const BACK = "NATS is back";
const UNSENT = "Wake-ups cannot be sent: until they can, other processes answer waiting requests later";

describe.runIf(isInstalled("nats-server"))("NATS (skipped where nats-server is not installed)", () => {
  let nats: TestNats;
  let t: V3Fixture;
  let second: V3Fixture;
  const log = testLog();
  /** The messages on NATS, with their subjects. */
  const heard: { subject: string; text: string }[] = [];
  beforeAll(async () => {
    nats = await startNats(["--user", "syncv3", "--pass", PASSWORD]);
    const bus = { servers: nats.servers, user: "syncv3", pass: PASSWORD, tls: false };
    const spy = await connect({ servers: [...nats.servers], user: "syncv3", pass: PASSWORD, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
    spy.subscribe("syncv3.>", { callback: (_error, message) => void heard.push({ subject: message.subject, text: message.string() }) });
    await spy.flush();
    t = await startV3({ workers: 1, sliding: NOTED, bus, logger: log.logger });
    second = new V3Fixture({ workers: 1, sliding: NOTED, bus, logger: log.logger }, { hs: t.hs, database: t.database });
    await second.start();
    return () => spy.close();
  });
  afterAll(async () => {
    await second.stopServer();
    await t.stop();
    await nats.kill();
  });

  const accountOf = async ({ me }: Scene) => Number((await t.sql`select account from accounts where user_id = ${me}`)[0]?.["account"]);

  describe.each(DIALECTS)("two processes (%s)", (dialect) => {
    const phoneOf = ({ client }: Pick<Scene, "client">) => new SlidingClient(client, dialect);
    /** The scene's client, at the other process. */
    const at = ({ client }: Scene) => new SlidingClient(second.clientOf(client.userId, client.deviceId, client.token), dialect);

    it("M5 M7: a request that waits at one process is woken by what another one polls; no connection listens at PostgreSQL", async () => {
      const one = scene(t);
      const first = await phoneOf(one).sync(ALL);
      const { answer } = await hangSliding(t, at(one), ALL, { pos: first.pos, timeout: LONG });
      heard.length = 0;
      const message = ev.message("@bob:test");
      await one.deliver({ timeline: [message] });
      expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
      const account = await accountOf(one);
      await vi.waitUntil(() => heard.some(({ text }) => text !== "" && (JSON.parse(text) as { a: number }).a === account), 10_000);
      // Ids only, no content.
      expect(heard.map(({ text }) => text).join("")).not.toContain(message.event_id);
      expect(await t.sql`select query from pg_stat_activity where datname = current_database() and query ilike 'listen%'`).toEqual([]);
    });

    it("M4 M5: a newer request at another process ends the older", async () => {
      const one = scene(t);
      const { pos } = await phoneOf(one).sync(ALL);
      const older = await hangSliding(t, phoneOf(one), ALL, { pos, timeout: LONG });
      const newer = await hangSliding(t, at(one), ALL, { pos, timeout: LONG });
      const ended = await older.answer;
      expect([ended.pos, newsOf(ended)]).toEqual([pos, {}]);
      const message = ev.message("@bob:test");
      await one.deliver({ timeline: [message] });
      expect(timelineIds((await newer.answer).rooms[one.room])).toEqual([message.event_id]);
    });

    it("M5 M7: nothing is lost while NATS is away, and all is as before once it is back", async () => {
      const [one, other] = [scene(t), scene(t)];
      const [first, ofOther] = [await phoneOf(one).sync(ALL), await phoneOf(other).sync(ALL)];
      const { answer } = await hangSliding(t, at(one), ALL, { pos: first.pos, timeout: LONG });
      const before = { away: log.count(AWAY), back: log.count(BACK), unsent: log.count(UNSENT) };
      await nats.kill();
      await vi.waitUntil(() => log.count(AWAY) === before.away + 2, 10_000);
      const [sent, missed] = [ev.message("@bob:test"), ev.message("@bob:test")];
      await one.deliver({ timeline: [missed] });
      // New requests are answered, and requests that wait in the polling process are woken.
      const here = await hangSliding(t, phoneOf(other), ALL, { pos: ofOther.pos, timeout: LONG });
      await other.deliver({ timeline: [sent] });
      expect(timelineIds((await here.answer).rooms[other.room])).toEqual([sent.event_id]);
      expect(timelineIds((await at(other).sync(ALL, { pos: ofOther.pos })).rooms[other.room])).toEqual([sent.event_id]);
      await nats.start();
      expect(timelineIds((await answer).rooms[one.room])).toEqual([missed.event_id]);
      await vi.waitUntil(() => log.count(BACK) === before.back + 2, 10_000);
      // One line per process, not one per message or attempt.
      expect(log.count(AWAY)).toBe(before.away + 2);
      expect(log.count(UNSENT)).toBeGreaterThan(before.unsent);
      expect(log.count(UNSENT)).toBeLessThanOrEqual(before.unsent + 2);
      expect(log.text()).not.toContain(PASSWORD);
      const next = await hangSliding(t, at(one), ALL, { pos: (await answer).pos, timeout: LONG });
      const message = ev.message("@bob:test");
      await one.deliver({ timeline: [message] });
      expect(timelineIds((await next.answer).rooms[one.room])).toEqual([message.event_id]);
    });
  });
});
