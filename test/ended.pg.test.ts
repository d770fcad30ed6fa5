/** What ends a session, a connection or an account ends the requests that wait with it, at once and in every process (T18). */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { silentLogger } from "../src/base/logger.ts";
import { endSessions } from "../src/cli/end-sessions.ts";
import { forget } from "../src/cli/forget.ts";
import type { ForgetSettings } from "../src/config/options.ts";
import { PostgresBus } from "../src/feed/postgres-bus.ts";
import { SharedFeed } from "../src/feed/shared-feed.ts";
import { RetentionJob } from "../src/upstream/retention-job.ts";
import { ev, toDevice, v2 } from "./support/fake-homeserver.ts";
import { hangRequest, type Scene, scene } from "./support/scene.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { ALL, hangReply, NOTED } from "./support/sliding-waits.ts";
import { type Reply, startV3, type V3Client, V3Fixture } from "./support/v3.ts";

/** ms. The longest that a request may wait: longer than a test, so only what ends it early is answered in time. */
const TIMEOUT = 300_000;
const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";
const FACES = ["v3", ...DIALECTS] as const;
type Face = (typeof FACES)[number];

let t: V3Fixture;
/** Another process on the same database. */
let second: V3Fixture;
beforeAll(async () => {
  const options = { sliding: { ...NOTED, connectionsPerDevice: 2 }, engine: { sessionsPerDevice: 2 } };
  t = await startV3(options);
  second = new V3Fixture(options, { hs: t.hs, database: t.database });
  await second.start();
});
afterAll(async () => {
  await second.stopServer();
  await t.stop();
});

const at = (process: V3Fixture, { userId, deviceId, token }: V3Client) => process.clientOf(userId, deviceId, token);

/** A caught-up request that waits at the process of `client`. */
async function hang(face: Face, client: V3Client): Promise<{ readonly reply: Promise<Reply> }> {
  if (face === "v3") {
    const { next } = await client.sync({ to_device: {} });
    return hangRequest(client, {}, { since: next, timeout: TIMEOUT });
  }
  const sliding = new SlidingClient(client, face);
  const first = await sliding.sync(ALL);
  const { pos } = await sliding.sync(ALL, { pos: first.pos });
  return hangReply(t, sliding, ALL, { pos, timeout: TIMEOUT });
}

/** Begins another session or connection of the device, which goes on. */
async function begin(face: Face, client: V3Client, connId: string): Promise<void> {
  if (face === "v3") return void (await client.sync({ account_data: {} }));
  const sliding = new SlidingClient(client, face);
  const { pos } = await sliding.sync({ ...ALL, connId });
  await sliding.sync({ ...ALL, connId }, { pos });
}

const maintenance = (more: Partial<ForgetSettings> = {}) => ({
  settings: {
    db: t.database.options,
    dbDirect: undefined,
    dbPoolMode: "session" as const,
    data: "/nonexistent",
    secret: undefined,
    bus: undefined,
    logLevel: "warn" as const,
    user: "",
    device: undefined,
    ...more,
  },
  logger: silentLogger(),
  say: () => {},
  signal: new AbortController().signal,
});

/** Deletes idle sessions as the retention of a third process does. */
async function retain(userId: string): Promise<void> {
  const feed = new SharedFeed(new PostgresBus(t.database.options), silentLogger());
  await feed.start();
  await t.sql`
    update sessions set used_at = now() - interval '31 days'
    where account = (select account from accounts where user_id = ${userId})`;
  await new RetentionJob({ sql: t.sql, feed, logger: silentLogger(), sessionIdleMs: 7 * 86_400_000 }).runOnce();
  await feed.close();
}

async function deleteSessions(client: V3Client, face: Face): Promise<void> {
  const { sessions } = (await client.fetch("GET", SESSIONS)).body as unknown as { sessions: { id: string; kind: string }[] };
  for (const { id, kind } of sessions) {
    if (kind !== (face === "v3" ? "v3" : "connection")) continue;
    // oxlint-disable-next-line no-await-in-loop -- there is one
    expect((await client.fetch("DELETE", `${SESSIONS}/${id}`)).status).toBe(200);
  }
}

/** Each way of ending, done at the first process. */
const ENDINGS: Readonly<Record<string, (one: Scene, face: Face) => Promise<unknown>>> = {
  "the session is deleted": ({ client }, face) => deleteSessions(client, face),
  "the device logs out": ({ client }) => client.fetch("POST", "/_matrix/client/v3/logout", "{}"),
  "another device deletes it": async ({ me, client }) => {
    t.hs.on("DELETE", `/_matrix/client/v3/devices/${client.deviceId}`, () => ({ body: {} }));
    const laptop = t.login(me, "LAPTOP");
    await laptop.sync();
    await laptop.fetch("DELETE", `/_matrix/client/v3/devices/${client.deviceId}`, "{}");
  },
  "the account is deactivated": ({ client }) => {
    t.hs.on("POST", "/_matrix/client/v3/account/deactivate", () => ({ body: {} }));
    return client.fetch("POST", "/_matrix/client/v3/account/deactivate", "{}");
  },
  "`syncv3 forget` of the account": ({ me }) => forget(maintenance({ user: me })),
  "`syncv3 forget` of the device": ({ me, client }) => forget(maintenance({ user: me, device: client.deviceId })),
  retention: ({ me }) => retain(me),
  "somebody is un-ignored": async ({ client }) => {
    const ignoring = (users: object) => v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: users } }] });
    await t.deliver(client, ignoring({ "@bad:test": {} }), ignoring({}));
  },
  "newer ones take its place": async ({ client }, face) => {
    await begin(face, client, "newer");
    await begin(face, client, "newest");
  },
};

describe.each(FACES)("T18: a request that waits (%s)", (face) => {
  it.each(Object.keys(ENDINGS))("gets the error that its session has ended, at the same and at another process: %s", async (name) => {
    for (const process of [t, second]) {
      const one = scene(t);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await one.client.sync();
      // oxlint-disable-next-line no-await-in-loop -- as above
      await t.sql`delete from sessions where account = (select account from accounts where user_id = ${one.me})`;
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { reply } = await hang(face, at(process, one.client));
      // oxlint-disable-next-line no-await-in-loop -- as above
      await ENDINGS[name]?.(one, face);
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { status, body } = await reply;
      // Of a token that has logged out the poller may hear first.
      if (name !== "the device logs out" || status !== 401) {
        expect([status, body["errcode"]]).toEqual([400, face === "v3" ? "M_UNKNOWN_SYNC_SESSION" : "M_UNKNOWN_POS"]);
      }
    }
  });

  it("continues when another session of the account ends", async () => {
    const one = scene(t);
    const { reply } = await hang(face, one.client);
    const tablet = t.login(one.me, "TABLET");
    await tablet.sync();
    await deleteSessions(tablet, "v3");
    await t.deliver(one.client, v2({ join: { [one.room]: { timeline: [ev.message("@bob:test")] } }, to_device: [toDevice("@bob:test", {})] }));
    expect((await reply).status).toBe(200);
  });

  it("gets no error about its access token if only syncv3 forgot the account: it starts from scratch with that token", async () => {
    const one = scene(t);
    const { reply } = await hang(face, one.client);
    await forget(maintenance({ user: one.me }));
    expect((await reply).status).toBe(400);
    await begin(face, one.client, "again");
  });

  it("gets the error at processes that only answer clients, while end-sessions runs beside them", async () => {
    const poller = await startV3({ sliding: NOTED });
    onTestFinished(() => poller.stop());
    const { client } = scene(poller);
    await client.sync();
    const api = new V3Fixture({ sliding: NOTED, role: "api" }, { hs: poller.hs, database: poller.database });
    await api.start();
    onTestFinished(() => api.stopServer());
    await poller.stopServer();
    const waiting = at(api, client);
    const sliding = face === "v3" ? null : new SlidingClient(waiting, face);
    const first = sliding ? await sliding.sync(ALL) : await waiting.sync({ account_data: {} });
    const caughtUp = sliding ? (await sliding.sync(ALL, { pos: (first as { pos: string }).pos })).pos : (first as { next: string }).next;
    const { reply } = sliding
      ? await hangReply(poller, sliding, ALL, { pos: caughtUp, timeout: TIMEOUT })
      : await hangRequest(waiting, {}, { since: caughtUp, timeout: TIMEOUT });
    await endSessions({ ...maintenance({ db: poller.database.options }) });
    expect((await reply).status).toBe(400);
  });
});
