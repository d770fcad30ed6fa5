/** Through PgBouncer, in session and in transaction mode. Skipped if it cannot be installed. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { connect } from "../../src/store/db.ts";
import { SESSION } from "../../src/store/session-settings.ts";
import { runCommand, type RunningCommand } from "../support/command.ts";
import { isInstalled } from "../support/daemon.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { ev, newRoom, startFakeHomeserver, v2, type FakeHomeserver } from "../support/fake-homeserver.ts";
import { startNats, type TestNats } from "../support/nats-server.ts";
import { startBouncer, type TestBouncer } from "../support/pgbouncer.ts";
import { type Scene, scene } from "../support/scene.ts";
import { type Ask, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { V3Client, V3Fixture } from "../support/v3.ts";

const hasNats = isInstalled("nats-server");

/** By mode of the pooler, the option for connections beside it. */
const WAYS = [
  { mode: "session", beside: "nothing" },
  { mode: "transaction", beside: "-db-direct" },
  { mode: "transaction", beside: "-bus" },
] as const;

describe.runIf(isInstalled("pgbouncer"))("PgBouncer (skipped where it is not installed)", () => {
  let database: TestDatabase;
  let bouncer: TestBouncer;
  let nats: TestNats | null = null;

  describe.each(hasNats ? WAYS : WAYS.filter(({ beside }) => beside !== "-bus"))("$mode mode, beside it $beside", ({ mode, beside }) => {
    describe("two processes", () => {
      let t: V3Fixture;
      let second: V3Fixture;
      beforeAll(async () => {
        database = await freshDatabase();
        bouncer = await startBouncer(mode, database.options);
        if (beside === "-bus") nats = await startNats();
        const options = { ...bouncer.options, ...(mode === "transaction" && { prepare: false }) };
        const through = { ...database, options, sql: connect(options) };
        const direct = mode === "session" ? options : beside === "-db-direct" ? database.options : null;
        const more = { sliding: NOTED, direct, ...(nats && { bus: { servers: nats.servers, tls: false } }) };
        t = new V3Fixture(more, { hs: await startFakeHomeserver(), database: through });
        second = new V3Fixture(more, { hs: t.hs, database: through });
        await t.start();
        await second.start();
        return () => through.sql.end({ timeout: 1 });
      });
      afterAll(async () => {
        await second.stopServer();
        await t.stopServer();
        await t.hs.stop();
        await bouncer.stop();
        await nats?.kill();
        nats = null;
        await database.drop();
      });
      const phoneOf = ({ client }: Scene) => new SlidingClient(client, "v4");
      const at = ({ client }: Scene) => new SlidingClient(second.clientOf(client.userId, client.deviceId, client.token), "v4");

      it("M5 M7: first contact at one, and a wait at the other that is woken", async () => {
        const one = scene(t, { others: ["@bob:test"] });
        // A request that shows the user as online has a waiting poll sent again.
        const ask: Ask = { ...ALL, more: { set_presence: "offline" } };
        const first = await phoneOf(one).sync(ask);
        expect(Object.keys(first.rooms)).toEqual([one.room]);
        const { answer } = await hangSliding(t, at(one), ask, { pos: first.pos, timeout: LONG });
        const message = ev.message("@bob:test");
        await one.deliver({ timeline: [message] });
        expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
        expect(t.hs.peakPolls(one.client.token)).toBe(1);
      });

      it("M4 M5: a newer request at the other ends the older", async () => {
        const one = scene(t);
        const { pos } = await phoneOf(one).sync(ALL);
        const older = await hangSliding(t, phoneOf(one), ALL, { pos, timeout: LONG });
        const newer = await hangSliding(t, at(one), ALL, { pos, timeout: LONG });
        expect(newsOf(await older.answer)).toEqual({});
        const message = ev.message("@bob:test");
        await one.deliver({ timeline: [message] });
        expect(timelineIds((await newer.answer).rooms[one.room])).toEqual([message.event_id]);
      });

      it("M5 M7: PgBouncer is killed and started again: a client that asks again is sent what came meanwhile, and wakes as before", async () => {
        const one = scene(t);
        const first = await phoneOf(one).sync(ALL);
        await bouncer.restart();
        const [missed, message] = [ev.message("@bob:test"), ev.message("@bob:test")];
        await one.deliver({ timeline: [missed] });
        // A query that was running when the pooler died is answered 500, as when PostgreSQL itself dies.
        const then = await vi.waitFor(() => at(one).sync(ALL, { pos: first.pos }), 10_000);
        expect(timelineIds(then.rooms[one.room])).toEqual([missed.event_id]);
        const { answer } = await vi.waitFor(() => hangSliding(t, at(one), ALL, { pos: then.pos, timeout: LONG }), 10_000);
        await one.deliver({ timeline: [message] });
        expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
      });

      it("many at once: each is sent its own data", async () => {
        const all = Array.from({ length: 40 }, () => scene(t));
        const told = await Promise.all(
          all.map(async (one, index) => {
            const phone = index % 2 === 0 ? phoneOf(one) : at(one);
            const first = await phone.sync(ALL);
            const waiting = phone.sync(ALL, { pos: first.pos, timeout: LONG });
            const message = ev.message("@bob:test");
            await one.deliver({ timeline: [message] });
            const news = await waiting;
            return [Object.keys(first.rooms), timelineIds(news.rooms[one.room]), message.event_id] as const;
          }),
        );
        for (const [index, [rooms, ids, id]] of told.entries()) expect([rooms, ids]).toEqual([[all[index]?.room], [id]]);
      });
    });

    describe("the command", () => {
      let hs: FakeHomeserver;
      let directory = "";
      beforeEach(async () => {
        database = await freshDatabase(true);
        bouncer = await startBouncer(mode, database.options);
        if (beside === "-bus") nats = await startNats();
        hs = await startFakeHomeserver();
        directory = await mkdtemp(join(tmpdir(), "syncv3-pgbouncer-"));
      });
      afterEach(async () => {
        await hs.stop();
        await bouncer.stop();
        await nats?.kill();
        nats = null;
        await database.drop();
        await rm(directory, { recursive: true, force: true });
      });

      function run(): RunningCommand {
        const ways = {
          nothing: [],
          "-db-direct": ["-db-pool-mode", mode, "-db-direct", database.dsn],
          "-bus": ["-db-pool-mode", mode, "-bus", `nats://127.0.0.1:${nats?.port}`],
        }[beside];
        const args = ["-server", hs.url, "-db", bouncer.dsn, "-data", directory, "-port", "127.0.0.1:0", "-async-connections", ...ways];
        const command = runCommand(args, { XDG_DATA_HOME: directory });
        onTestFinished(() => command.signal("SIGKILL"));
        return command;
      }
      const urlOf = async (command: RunningCommand) => (await command.line(/listening/)).trim().split(/ +/)[1] ?? "";

      it("M5: two start on an empty database; one is killed, the other takes over its polling, and nothing is lost", async () => {
        const [one, other] = [run(), run()];
        const [here, there] = [await urlOf(one), await urlOf(other)];
        const token = hs.login("@alice:test", "PHONE");
        hs.queueSync(token, v2({ join: { "!room:test": { state: newRoom("@alice:test") } } }));
        const at = (url: string) => new SlidingClient(new V3Client(() => url, "@alice:test", "PHONE", token), "v4");
        const first = await at(here).sync(ALL);
        await hs.waitForPoll(token);
        const killed = performance.now();
        one.signal("SIGKILL");
        await one.ended;
        const message = ev.message("@bob:test");
        hs.queueSync(token, v2({ join: { "!room:test": { timeline: [message] } } }));
        const then = await at(there).sync(ALL, { pos: first.pos, timeout: 30_000 });
        expect(timelineIds(then.rooms["!room:test"])).toEqual([message.event_id]);
        // At once if the lost lock is noticed; otherwise the leases run out after 10 s.
        if (beside !== "-bus") expect(performance.now() - killed).toBeLessThan(6000);
        other.signal("SIGTERM");
        expect((await other.ended).code).toBe(0);
        const errors = `${one.log()}${other.log()}`.split("\n").filter((line) => /"level":(50|60)/.test(line));
        expect(errors).toEqual([]);
      }, 60_000);
    });
  });

  it("a pooler in transaction mode that is not configured, and a -db-direct that is none: messages that say what to do", async () => {
    database = await freshDatabase(true);
    const pooled = await startBouncer("transaction", database.options);
    const quiet = await startBouncer("transaction", database.options, `ignore_startup_parameters = ${Object.keys(SESSION).join(",")}\n`);
    const [other, hs] = [await freshDatabase(true), await startFakeHomeserver()];
    const directory = await mkdtemp(join(tmpdir(), "syncv3-pgbouncer-"));
    onTestFinished(async () => {
      for (const each of [hs, pooled, quiet]) await each.stop();
      for (const each of [database, other]) await each.drop();
      await rm(directory, { recursive: true, force: true });
    });
    const failing = async (...args: string[]) => {
      const { code, stderr } = await runCommand(["-server", hs.url, "-secret", "x", "-data", directory, "-port", "127.0.0.1:0", ...args]).ended;
      return `${code}: ${stderr.trim().split("\n").at(-1)}`;
    };
    const db = ["-db", pooled.dsn];
    // Whether or not the pooler passes settings on.
    for (const dsn of [pooled.dsn, quiet.dsn]) {
      expect(await failing("-db", dsn)).toMatch(
        /^1: syncv3: -db: there is a pooler in transaction mode in front of PostgreSQL\. Give -db-pool-mode transaction, and -db-direct or -bus/,
      );
    }
    const told = [...db, "-db-pool-mode", "transaction"];
    expect(await failing(...told)).toMatch(/^2: syncv3: -db-pool-mode transaction: .*-db-direct, or NATS with -bus/);
    expect(await failing(...told, "-db-direct", pooled.dsn)).toMatch(/^1: syncv3: -db-direct: .*unsupported startup parameter/);
    expect(await failing(...told, "-db-direct", quiet.dsn)).toMatch(/^1: syncv3: -db-direct: here too there is a pooler in transaction mode/);
    expect(await failing(...told, "-db-direct", other.dsn)).toMatch(/^1: syncv3: -db-direct: this is not the database of -db/);
    expect(await failing(...told, "-db-direct", "host=127.0.0.1 port=1")).toMatch(
      /^1: syncv3: -db-direct: cannot connect to PostgreSQL at 127\.0\.0\.1:1/,
    );
    // The test starts the command seven times.
  }, 120_000);
});
