import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../../test/support/api.ts";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../../test/support/fake-homeserver.ts";
import { SecretBox } from "../../base/secret-box.ts";
import { tokenStore } from "../../server/api-store.ts";
import { checkReady } from "../../store/ready.ts";
import { hashOfMessage } from "../../store/to-device.ts";
import { sessionStore } from "../../server/api-store.ts";
import { sessionsRoute } from "./sessions-route.ts";
import { silentLogger } from "../../base/logger.ts";
import { Hub } from "../../feed/hub.ts";

const PATH = "/_matrix/client/unstable/syncv3/sessions";
const box = new SecretBox("test");
let db: TestDatabase;
let hs: FakeHomeserver;
let api: TestApi;
let token: string;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  hs = await startFakeHomeserver();
  token = hs.login("@alice:test", "PHONE");
  api = await startApi(hs.url, {
    secretBox: box,
    tokens: tokenStore({ sql: db.sql, box, feed: new Hub(), logger: silentLogger() }),
    routes: [sessionsRoute(sessionStore(db.sql, new Hub()))],
    ready: () => checkReady(db.sql).then(() => null),
  });
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

const list = async (as = token) => ((await (await api.fetch(PATH, { token: as })).json()) as { sessions: Record<string, unknown>[] }).sessions;

async function addSession(takesPart: boolean, acked = 0): Promise<string> {
  const [row] = await db.sql<{ session: number }[]>`
    insert into sessions (account, device, kind, takes_part, acked, position) select account, device, 'v3', ${takesPart}, ${acked}, 5 from devices where device_id = 'PHONE' returning session`;
  return String(row?.session);
}

async function addMessages(count: number): Promise<void> {
  for (let seq = 1; seq <= count; seq++) {
    await db.sql`insert into to_device (device, seq, before_pos, body, hash) select device, ${seq}, 0, '{}', ${hashOfMessage("{}")} from devices where device_id = 'PHONE'`;
  }
}

test("D20: a device lists its own sessions, oldest first", async () => {
  expect(await list()).toEqual([]);
  await addMessages(3);
  const first = await addSession(true, 1);
  const second = await addSession(false);
  await db.sql`update sessions set used_at = now() + interval '1 minute' where session = ${first}`;
  const time = expect.any(Number) as unknown;
  expect(await list()).toEqual([
    { id: first, kind: "v3", created_ts: time, last_used_ts: time, position: 5, to_device_held: 2 },
    { id: second, kind: "v3", created_ts: time, last_used_ts: time, position: 5, to_device_held: 0 },
  ]);
  expect(await list(hs.login("@alice:test", "TABLET"))).toEqual([]);
});

test("D20: ending a session frees what only it held back", async () => {
  await list();
  await addMessages(3);
  const done = await addSession(true, 2);
  const lagging = await addSession(true, 0);
  expect(await (await api.fetch(`${PATH}/${lagging}`, { method: "DELETE", token })).json()).toEqual({});
  expect((await list()).map(({ id }) => id)).toEqual([done]);
  expect(await db.sql`select seq from to_device`).toEqual([{ seq: 3 }]);
});

test("D20: an unknown session, or another device's, is not found", async () => {
  await list();
  const own = await addSession(true);
  const stranger = hs.login("@bob:test", "LAPTOP");
  for (const [id, as] of [
    [own, stranger],
    ["999999", token],
    ["1e3", token],
    ["-1", token],
    ["99999999999999999999", token],
  ] as const) {
    const answer = await api.fetch(`${PATH}/${id}`, { method: "DELETE", token: as });
    expect([answer.status, await answer.json()], id).toEqual([404, { errcode: "M_NOT_FOUND", error: "Session unknown" }]);
  }
  expect(await list()).toHaveLength(1);
});

test("D2: the list needs a token", async () => {
  expect((await api.fetch(PATH)).status).toBe(401);
  expect((await api.fetch(PATH, { token: "nonsense" })).status).toBe(401);
  expect(await db.sql`select from accounts`).toHaveLength(0);
});

test("ready: when the database has this version's schema", async () => {
  expect((await api.fetch("/health/ready")).status).toBe(200);
  await db.sql`update migrations set name = 'x' || name`;
  expect((await api.fetch("/health/ready")).status).toBe(503);
  await db.sql`update migrations set name = substr(name, 2)`;
});
