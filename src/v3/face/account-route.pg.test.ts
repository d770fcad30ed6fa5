import { expect, test } from "vitest";
import { newRoom, v2 } from "../../../test/support/fake-homeserver.ts";
import { v3Server } from "../../../test/support/v3.ts";

const PATH = "/_matrix/client/unstable/syncv3/account";
const t = v3Server({ workers: 1 });

test("an account's first sync is followed until it is stored", async () => {
  const me = "@slow:test";
  const client = t.login(me, "PHONE", v2({ join: { "!slow:test": { state: newRoom(me) } } }));
  t.hs.fail({ path: /\/sync$/, token: client.token }, { dripMs: 1, status: 200, body: { next_batch: "s1", padding: "x".repeat(100_000) } }, 1);
  const status = async () => (await client.fetch("GET", PATH)).body as unknown as Record<string, unknown>;
  const before = Date.now();
  expect(await status()).toMatchObject({ state: "first_sync", rooms: 0, since_ts: expect.any(Number) as number });
  await expect.poll(async () => (await status())["received_bytes"]).toBeGreaterThan(0);
  expect((await status())["since_ts"]).toBeLessThanOrEqual(Date.now());
  expect((await status())["since_ts"]).toBeGreaterThan(before - 60_000);
});

test("one that is there, and a request without a token", async () => {
  const me = "@there:test";
  const client = t.login(me, "PHONE", v2({ join: { "!there:test": { state: newRoom(me) } } }));
  await client.sync();
  expect((await client.fetch("GET", PATH)).body).toEqual({ state: "synced", since_ts: expect.any(Number) as number, rooms: 1 });
  expect((await fetch(t.url + PATH)).status).toBe(401);
});
