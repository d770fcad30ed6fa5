/** What ends a session or a device on a real homeserver ends the requests that are under way with it (D2, T18). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { forget } from "../../src/cli/forget.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { testLog } from "../support/logged.ts";
import { type Api, APIS } from "../support/room-follower.ts";
import { hangRequest } from "../support/scene.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { SlidingClient } from "../support/sliding.ts";
import { ALL, hangReply, NOTED } from "../support/sliding-waits.ts";
import type { TestUser } from "../support/synapse-api.ts";
import type { Reply } from "../support/v3.ts";

/** ms. The longest that a request may wait: longer than a test, so only what ends it early is answered in time. */
const TIMEOUT = 300_000;
const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";

const { url: homeserver, users } = sharedSynapse();
const log = testLog();
let database: TestDatabase;
let tap: HomeserverTap;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  tap = await new HomeserverTap(homeserver).start();
  front = await new Front(tap.url, database.options, { logger: log.logger, sliding: NOTED }).start();
});
afterAll(async () => {
  await front.stop();
  await tap.stop();
  await database.drop();
});

/** A caught-up request that waits. */
async function hang(api: Api, user: TestUser): Promise<{ readonly reply: Promise<Reply> }> {
  const client = front.client(user);
  if (api === "v3") {
    const { next } = await client.sync({ to_device: {} });
    return hangRequest(client, {}, { since: next, timeout: TIMEOUT });
  }
  const sliding = new SlidingClient(client, api);
  const first = await sliding.sync(ALL);
  const { pos } = await sliding.sync(ALL, { pos: first.pos });
  return hangReply(database, sliding, ALL, { pos, timeout: TIMEOUT });
}

async function deleteSessions(user: TestUser): Promise<void> {
  const client = front.client(user);
  const { sessions } = (await client.fetch("GET", SESSIONS)).body as unknown as { sessions: { id: string }[] };
  const replies = await Promise.all(sessions.map(({ id }) => client.fetch("DELETE", `${SESSIONS}/${id}`)));
  expect(replies.map(({ status }) => status)).toEqual(sessions.map(() => 200));
}

const forgotten = (user: string) =>
  forget({
    settings: {
      db: database.options,
      dbDirect: undefined,
      dbPoolMode: "session",
      data: "/nonexistent",
      secret: undefined,
      bus: undefined,
      logLevel: "warn",
      user,
      device: undefined,
    },
    logger: silentLogger(),
    say: () => {},
    signal: new AbortController().signal,
  });

const ENDINGS: Readonly<Record<string, (user: TestUser) => Promise<unknown>>> = {
  "it logs out through this server": (user) => user.at(front.url).logout(),
  "it logs out at the homeserver": (user) => user.logout(),
  "its sessions are deleted": deleteSessions,
  "`syncv3 forget`": ({ userId }) => forgotten(userId),
};

describe.each(APIS)("T18: a request that waits (%s)", (api) => {
  it.each(Object.keys(ENDINGS))("is answered when its device is gone: %s", { timeout: 60_000 }, async (name) => {
    const user = await users.registerUser(`t18-${api}-${Object.keys(ENDINGS).indexOf(name)}`);
    await user.createRoom({});
    const { reply } = await hang(api, user);
    await ENDINGS[name]?.(user);
    const { status, body } = await reply;
    const unknownToken = [401, "M_UNKNOWN_TOKEN"];
    const unknownSession = [400, api === "v3" ? "M_UNKNOWN_SYNC_SESSION" : "M_UNKNOWN_POS"];
    // Of a token that logs out, the poller hears too, perhaps first.
    const right = name.includes("homeserver") ? [unknownToken] : name.includes("logs out") ? [unknownToken, unknownSession] : [unknownSession];
    expect(right).toContainEqual([status, body["errcode"]]);
  });
});

const SYNCS: Readonly<Record<string, (since: string) => string>> = {
  "a first one": () => "timeout=0",
  "one that waits": (since) => `timeout=${TIMEOUT}&since=${encodeURIComponent(since)}`,
};
const LOG_OUTS: Readonly<Record<string, (user: TestUser) => TestUser>> = {
  "through this server": (user) => user.at(front.url),
  "at the homeserver": (user) => user,
};

it.each(Object.keys(SYNCS).flatMap((sync) => Object.keys(LOG_OUTS).map((where) => [sync, where] as const)))(
  "D2: a v2 sync of a polled device, %s, in flight while its token logs out %s: 200 or 401, and no error in the log",
  { timeout: 60_000 },
  async (sync, where) => {
    for (let n = 0; n < 4; n += 1) {
      const user = await users.registerUser(`d2-${Object.keys(SYNCS).indexOf(sync)}-${Object.keys(LOG_OUTS).indexOf(where)}-${n}`);
      await user.createRoom({});
      const client = front.client(user);
      await client.sync({ to_device: {} });
      const { next_batch: since } = await user.at(front.url).call<{ next_batch: string }>("GET", "/sync?timeout=0");
      const reply = client.fetch("GET", `/_matrix/client/v3/sync?${SYNCS[sync]?.(since)}&test=${encodeURIComponent(user.userId)}`);
      // Each other time the homeserver has it already.
      if (n % 2 === 1) await expect.poll(() => tap.requests.some(({ query }) => query.get("test") === user.userId)).toBe(true);
      await LOG_OUTS[where]?.(user).logout();
      const { status, text } = await reply;
      expect([200, 401], text).toContain(status);
    }
    expect(log.text()).not.toMatch(/"level":(?:50|"error")/);
  },
);
