/** What a real homeserver's administrator does to an account while its requests wait (T16, T17). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { type Api, APIS } from "../support/room-follower.ts";
import { hangRequest } from "../support/scene.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { SlidingClient } from "../support/sliding.ts";
import { ALL, hangReply, NOTED } from "../support/sliding-waits.ts";
import type { TestUser } from "../support/synapse-api.ts";
import type { Reply } from "../support/v3.ts";

/** ms. The longest that a request may wait: longer than a test. */
const TIMEOUT = 300_000;
const LOCKED = { errcode: "M_USER_LOCKED", error: "User account has been locked", soft_logout: true };

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
let admin: TestUser;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options, { sliding: NOTED }).start();
  admin = await users.registerAdmin("t17-admin");
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

/** A caught-up request that waits. `again` asks once more from the same position, without waiting. */
async function hang(api: Api, user: TestUser): Promise<{ readonly reply: Promise<Reply>; readonly again: () => Promise<Reply> }> {
  const client = front.client(user);
  if (api === "v3") {
    const { next } = await client.sync({ to_device: {} });
    const { reply } = await hangRequest(client, {}, { since: next, timeout: TIMEOUT });
    return { reply, again: () => client.request({}, { since: next }) };
  }
  const sliding = new SlidingClient(client, api);
  const first = await sliding.sync(ALL);
  const { pos } = await sliding.sync(ALL, { pos: first.pos });
  const { reply } = await hangReply(database, sliding, ALL, { pos, timeout: TIMEOUT });
  return { reply, again: () => sliding.request(ALL, { pos }) };
}

const administer = ({ userId }: TestUser, body: object) => admin.call("PUT", `/_synapse/admin/v2/users/${encodeURIComponent(userId)}`, body);

describe.each(APIS)("T17: a user with two devices (%s)", (api) => {
  it("is locked: 401 as the homeserver says for both, and their sessions are good again when it is unlocked", { timeout: 240_000 }, async () => {
    const name = `t17-locked-${api}`;
    const phone = await users.registerUser(name);
    const laptop = await users.login(name, "LAPTOP");
    await phone.createRoom({});
    const waits = [await hang(api, phone), await hang(api, laptop)];
    await administer(phone, { locked: true });
    const replies = await Promise.all(waits.map(({ reply }) => reply));
    expect(replies.map(({ status, body }) => [status, body])).toEqual(waits.map(() => [401, LOCKED]));
    await administer(phone, { locked: false });
    for (const { again } of waits) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect.poll(async () => (await again()).status, { timeout: 100_000 }).toBe(200);
    }
  });
});

it.each(APIS)("T17: a suspended user syncs on (%s)", { timeout: 120_000 }, async (api) => {
  const user = await users.registerUser(`t17-suspended-${api}`);
  const room = await user.createRoom({ preset: "public_chat" });
  await admin.join(room);
  const { reply } = await hang(api, user);
  await admin.call("PUT", `/_synapse/admin/v1/suspend/${encodeURIComponent(user.userId)}`, { suspend: true });
  await expect(user.send(room, "no")).rejects.toMatchObject({ status: 403, body: { errcode: "M_USER_SUSPENDED" } });
  await admin.sendToDevice("m.test", { [user.userId]: { "*": { n: 1 } } });
  await admin.send(room, "still here");
  const { status, text } = await reply;
  expect([status, text]).toEqual([200, expect.stringContaining(api === "v3" ? "m.test" : "still here")]);
});
