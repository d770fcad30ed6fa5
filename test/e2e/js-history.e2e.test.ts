import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { JsClient, listOf, logInJs } from "../support/js-client.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { passwordOf } from "../support/synapse-api.ts";

const { url: homeserver, users } = sharedSynapse();
/** What clients ask. They know its address alone, whatever the server's is after a restart. */
const before = new HomeserverTap(() => front.url);
const running: JsClient[] = [];
let database: TestDatabase;
let front: Front;

beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
  await before.start();
});
afterEach(() => {
  for (const client of running.splice(0)) client.stop();
});
afterAll(async () => {
  await before.stop();
  await front.stop();
  await database.drop();
});

const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `message ${from + i}`);

/** What happens between the two times that the room is open: the server is there, or away so that all comes in one v2 answer (or behind a gap). */
const CASES = [
  ["40 messages in one v2 answer", 40, "away"],
  ["40 messages in many v2 answers", 40, "there"],
  ["200 messages over a gap", 200, "away"],
] as const;

describe("T20: matrix-js-sdk pages back to the start of a room", () => {
  it.each(CASES)("T20: %s while it was closed: every message once, in order", async (name, count, server) => {
    const label = `js-t20-${name.replaceAll(/\W/g, "").toLowerCase()}`;
    const alice = await users.registerUser(`${label}-alice`);
    const bob = await users.registerUser(`${label}-bob`);
    const roomId = await bob.createRoom({ preset: "public_chat", name: "Room" });
    await alice.join(roomId);
    // oxlint-disable-next-line no-await-in-loop -- their order is what is looked at
    for (const body of numbered(0, 30)) await bob.send(roomId, body);
    const login = await logInJs(before.url, `${label}-alice`, passwordOf(`${label}-alice`), "JS");
    const open = async (last: string): Promise<JsClient> => {
      const client = await JsClient.start(login, { all: listOf(20) });
      running.push(client);
      await client.until(() => client.isSynced() && client.texts(roomId).includes(last));
      client.open(roomId);
      await client.until(() => client.texts(roomId).length >= 20);
      return client;
    };
    const first = await open("message 29");
    const room = first.room(roomId);
    if (room) await first.client.scrollback(room, 5);
    first.open();
    if (server === "away") await front.stop();
    // oxlint-disable-next-line no-await-in-loop -- as above
    for (const body of numbered(30, 30 + count)) await bob.send(roomId, body);
    if (server === "away") await front.start();
    // The same client goes on; another one of the device begins anew.
    const last = `message ${29 + count}`;
    await first.until(() => first.texts(roomId).includes(last));
    running.splice(running.indexOf(first), 1);
    first.stop();
    const again = await open(last);
    const opened = again.room(roomId);
    while (opened?.oldState.paginationToken) await again.client.scrollback(opened, 20);
    expect(again.texts(roomId)).toEqual(numbered(0, 30 + count));
  });
});
