/** Tokens that the homeserver refuses while requests wait (T16), and accounts that it has locked (T17). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toDevice, v2 } from "./support/fake-homeserver.ts";
import { hangRequest, scene } from "./support/scene.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { ALL, hangReply, NOTED } from "./support/sliding-waits.ts";
import { type Reply, startV3, type V3Client, V3Fixture } from "./support/v3.ts";

/** ms. Longer than a test: only what ends a request early is answered in time. */
const TIMEOUT = 300_000;
/** As Synapse answers, with something that we do not know. */
const LOCKED = { errcode: "M_USER_LOCKED", error: "User account has been locked", soft_logout: true, "org.example.why": ["x"] };
const FACES = ["v3", ...DIALECTS] as const;
type Face = (typeof FACES)[number];

let t: V3Fixture;
/** Another process on the same database. */
let second: V3Fixture;
beforeAll(async () => {
  t = await startV3({ sliding: NOTED });
  second = new V3Fixture({ sliding: NOTED }, { hs: t.hs, database: t.database });
  await second.start();
});
afterAll(async () => {
  await second.stopServer();
  await t.stop();
});

/** The same device at the second process. */
const elsewhere = ({ userId, deviceId, token }: V3Client) => second.clientOf(userId, deviceId, token);

/** A caught-up request that waits. `again` asks once more from the same position, without waiting. */
async function hang(face: Face, client: V3Client): Promise<{ readonly reply: Promise<Reply>; readonly again: () => Promise<Reply> }> {
  if (face === "v3") {
    const { next } = await client.sync({ to_device: {} });
    const { reply } = await hangRequest(client, {}, { since: next, timeout: TIMEOUT });
    return { reply, again: () => client.request({}, { since: next }) };
  }
  const sliding = new SlidingClient(client, face);
  const ask = { ...ALL, ext: { to_device: { enabled: true } } };
  const first = await sliding.sync(ask);
  const { pos } = await sliding.sync(ask, { pos: first.pos });
  const { reply } = await hangReply(t, sliding, ask, { pos, timeout: TIMEOUT });
  return { reply, again: () => sliding.request(ask, { pos }) };
}

/** From now on the homeserver refuses those tokens like this. */
const refuse = (tokens: readonly string[], body: object) =>
  t.hs.fail({ where: ({ token }) => token !== undefined && tokens.includes(token) }, { status: 401, body: { ...body } }, 1_000_000);
const statusOf = ({ status, body }: Reply) => [status, body["errcode"]];
const whoamis = () => t.hs.seen({ path: /whoami$/ }).length;

describe.each(FACES)("%s", (face) => {
  it("T16: a token that is revoked while its request waits is refused, although the device is polled with another one", async () => {
    const { client } = scene(t);
    await client.sync();
    await t.hs.waitForPoll(client.token);
    const newer = t.refresh(client);
    await newer.sync();
    // Nobody has proven it for nearly a minute.
    await t.sql`update tokens set verified_at = now() - interval '50 s' where account = (select account from accounts where user_id = ${client.userId})`;
    const { reply } = await hang(face, elsewhere(newer));
    t.hs.revoke(newer.token);
    expect(statusOf(await reply)).toEqual([401, "M_UNKNOWN_TOKEN"]);
    expect(statusOf(await client.request({}))[0], "of that token alone").toBe(200);
  });

  it("T16: a token that is refused for another reason while its request waits", async () => {
    const { client } = scene(t);
    await client.sync();
    await t.hs.waitForPoll(client.token);
    const newer = t.refresh(client);
    await newer.sync();
    await t.sql`update tokens set verified_at = now() - interval '50 s' where account = (select account from accounts where user_id = ${client.userId})`;
    const { reply } = await hang(face, elsewhere(newer));
    const status = 403;
    t.hs.fail({ token: newer.token, path: /whoami$/ }, { status, body: { errcode: "M_USER_DEACTIVATED", error: "no" } }, 1_000_000);
    expect(statusOf(await reply)).toEqual([status, "M_USER_DEACTIVATED"]);
    expect(statusOf(await client.request({}))[0], "of that token alone").toBe(200);
  });

  it("T16: a token that another request finds revoked is refused to those that wait with it, in every process", async () => {
    const { client } = scene(t);
    await client.sync();
    await t.hs.waitForPoll(client.token);
    const newer = t.refresh(client);
    const { reply } = await hang(face, elsewhere(newer));
    t.hs.revoke(newer.token);
    await t.sql`update tokens set verified_at = now() - interval '1 hour' where account = (select account from accounts where user_id = ${client.userId})`;
    expect(statusOf(await newer.request({}))).toEqual([401, "M_UNKNOWN_TOKEN"]);
    expect(statusOf(await reply)).toEqual([401, "M_UNKNOWN_TOKEN"]);
  });

  it("T17: a locked account gets the homeserver's 401 for all its tokens at once, and all it had when it is unlocked", async () => {
    const { client, me } = scene(t);
    const tablet = t.login(me, "TABLET");
    await Promise.all([client.sync({ to_device: {} }), tablet.sync({ to_device: {} })]);
    await Promise.all([t.hs.waitForPoll(client.token), t.hs.waitForPoll(tablet.token)]);
    const waiting = await hang(face, client);
    const others = await hang(face, elsewhere(tablet));
    refuse([client.token, tablet.token], LOCKED);
    t.hs.queueSync(client.token, v2());
    const replies = await Promise.all([waiting.reply, others.reply]);
    expect(replies.map(({ status, body }) => [status, body])).toEqual([
      [401, LOCKED],
      [401, LOCKED],
    ]);
    const asked = whoamis();
    for (const one of [client, elsewhere(client), tablet, elsewhere(tablet)]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { status, body } = await one.request({});
      expect([status, body]).toEqual([401, LOCKED]);
    }
    expect(whoamis()).toBe(asked);
    t.hs.heal();
    t.hs.queueSync(client.token, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
    await expect.poll(async () => (await waiting.again()).status, { timeout: 60_000 }).toBe(200);
    await expect.poll(async () => (await waiting.again()).text, { timeout: 60_000 }).toContain('"n":1');
    await expect.poll(async () => (await others.again()).status, { timeout: 60_000 }).toBe(200);
  });

  it("T17: M_UNKNOWN_TOKEN is of that token alone: the account's other device goes on waiting", async () => {
    const { client, me } = scene(t);
    const tablet = t.login(me, "TABLET");
    await Promise.all([client.sync(), tablet.sync()]);
    const { reply } = await hang(face, tablet);
    t.hs.revoke(client.token);
    await expect.poll(async () => statusOf(await client.request({}))).toEqual([401, "M_UNKNOWN_TOKEN"]);
    await t.hs.waitForPoll(tablet.token);
    t.hs.queueSync(tablet.token, v2({ to_device: [toDevice("@bob:test", { n: 2 })] }));
    expect(statusOf(await reply)).toEqual([200, undefined]);
  });
});

it("T17: an account that is locked before its first sync gets the homeserver's answer", async () => {
  const { client } = scene(t);
  refuse([client.token], LOCKED);
  const { status, body } = await client.request({});
  t.hs.heal();
  expect([status, body]).toEqual([401, LOCKED]);
});

it("T17: a locked account is asked about again by a client that comes later, and open as soon as whoami succeeds", async () => {
  const { client } = scene(t);
  await client.sync();
  await t.hs.waitForPoll(client.token);
  const lockedAgo = (seconds: number) => t.sql`
    update accounts set locked = ${JSON.stringify(LOCKED)}, locked_at = now() - ${seconds} * interval '1 s' where user_id = ${client.userId}`;
  await lockedAgo(29);
  expect((await client.request({})).body).toEqual(LOCKED);
  await lockedAgo(31);
  expect((await client.request({})).status).toBe(200);
  const [row] = await t.sql`select locked, locked_at from accounts where user_id = ${client.userId}`;
  expect(row).toEqual({ locked: null, locked_at: null });
});
