/** Clients of a polled device that do not read the v2 response that they asked for (N12). */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { type FakeHomeserver, startFakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { SecretBox } from "../base/secret-box.ts";
import { forgetting, passQueue, tokenStore } from "../server/api-store.ts";
import { silentLogger } from "../base/logger.ts";
import { Hub } from "../feed/hub.ts";
import { registerToken, sealToken } from "../store/tokens.ts";
import type { UserId } from "../wire/ids.ts";

let db: TestDatabase;
let hs: FakeHomeserver;
let api: TestApi;
let token: string;
const box = new SecretBox("test");
const sockets: Socket[] = [];
/** More than the network holds between two ends that do not read. */
const LARGE = JSON.stringify({ next_batch: "s1", filler: "x".repeat(20 * 1024 * 1024) });

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  hs = await startFakeHomeserver();
  token = hs.login("@alice:test", "PHONE");
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await api.stop();
  await hs.stop();
});

async function start(limits: { readonly perDevice?: number; readonly stallMs?: number }): Promise<void> {
  api = await startApi(hs.url, {
    limits,
    secretBox: box,
    tokens: tokenStore({ sql: db.sql, box, feed: new Hub(), logger: silentLogger() }),
    queue: passQueue(db.sql),
    forgetting: forgetting(db.sql, new Hub(), () => {}),
  });
  const { device } = await registerToken(db.sql, { ...sealToken(box, token), userId: "@alice:test" as UserId, deviceId: "PHONE" });
  await db.sql`update devices set since = 's0' where device = ${device}`;
}

/** Asks, and reads nothing beyond the first bytes of the answer. */
async function unread(): Promise<Socket> {
  const { hostname, port } = new URL(api.url);
  const socket = connect({ host: hostname, port: Number(port) });
  sockets.push(socket);
  socket.on("error", () => {});
  socket.write(`GET /_matrix/client/v3/sync?timeout=0 HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await once(socket, "readable");
  return socket;
}

it("N12: a client that does not read is cut off, and the device's next large answer waits for that", async () => {
  await start({ stallMs: 1500 });
  hs.queueSync(token, LARGE);
  const socket = await unread();
  const order: string[] = [];
  // Only a write shows that a connection is broken.
  const prodding = setInterval(() => socket.write("x"), 50);
  socket.on("close", () => order.push("cut off"));
  const answer = await (await api.fetch("/_matrix/client/v3/sync", { token })).text();
  order.push("the next one");
  clearInterval(prodding);
  expect(answer.length).toBe(LARGE.length);
  expect(order).toEqual(["cut off", "the next one"]);
});

it("N12: passed answers of a polled device count among its requests", async () => {
  await start({ perDevice: 2 });
  hs.queueSync(token, LARGE);
  const [first] = [await unread()];
  const waiting = api.fetch("/_matrix/client/v3/sync", { token });
  await expect.poll(() => hs.seen({ path: /\/sync$/ }).length).toBe(2);
  const refused = await api.fetch("/_matrix/client/v3/sync", { token });
  expect([refused.status, ((await refused.json()) as { errcode: string }).errcode]).toEqual([429, "M_LIMIT_EXCEEDED"]);
  first?.destroy();
  expect((await (await waiting).text()).length).toBe(LARGE.length);
});

it("N12: a large answer that is read comes in full, packed or not", async () => {
  await start({});
  const text = JSON.stringify({ next_batch: "s1", filler: "ü".repeat(1024 * 1024) });
  hs.queueSync(token, text);
  for (const encoding of ["identity", "gzip"]) {
    const answer = await api.fetch("/_matrix/client/v3/sync", { token, headers: { "accept-encoding": encoding } });
    expect([answer.status, (await answer.text()) === text]).toEqual([200, true]);
  }
});
