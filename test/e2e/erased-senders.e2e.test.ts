/** T6: what a user wrote who then had the own data erased: who was in the room sees it, who came later does not. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { EveryFace } from "../support/every-face.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { passwordOf, type TestUser } from "../support/synapse-api.ts";

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

const WORDS = "words of an erased user";
const isIn = (answer: unknown) => JSON.stringify(answer).includes(WORDS);

/** By Synapse's own v2 sync, and by each API. */
async function sees(user: TestUser, room: string): Promise<Record<string, boolean>> {
  const answers = { v2: await user.call("GET", "/sync"), ...(await new EveryFace(front.client(user), room).whole()) };
  return Object.fromEntries(Object.entries(answers).map(([name, answer]) => [name, isIn(answer)]));
}

const everywhere = (value: boolean) => ({ v2: value, unstable: value, v4: value, v3: value });

it("T6: everybody sees an erased sender's messages as Synapse's v2 sync shows them, whoever was first", async () => {
  const [before, after, late, bob] = await Promise.all(["before", "after", "late", "bob"].map((name) => users.registerUser(`t6-${name}`)));
  if (!before || !after || !late || !bob) throw new Error("four are four");
  const rooms = [await before.createRoom({ preset: "public_chat" }), await before.createRoom({ preset: "public_chat" })];
  for (const room of rooms) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await Promise.all([after.join(room), bob.join(room)]);
    // oxlint-disable-next-line no-await-in-loop -- as above
    await bob.send(room, WORDS);
  }
  const [room = "", other = ""] = rooms;
  expect(await sees(before, room)).toEqual(everywhere(true));
  const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: bob.userId }, password: passwordOf("t6-bob") };
  await bob.call("POST", "/account/deactivate", { auth, erase: true });
  await Promise.all(rooms.map((each) => late.join(each)));
  // The text is stored by now, but not for this user.
  expect(await sees(late, room)).toEqual(everywhere(false));
  expect(await sees(after, other)).toEqual(everywhere(true));
  expect(await sees(late, other)).toEqual(everywhere(false));
  const copies = await database.sql<{ sender: string }[]>`select distinct sender from own_events join events using (event_id)`;
  expect(
    copies.map((row) => row.sender),
    "nobody else's events are stored twice",
  ).toEqual([bob.userId]);
});

it("T6: who was there sees the messages also where somebody who came later was first", async () => {
  const [alice, late, bob] = await Promise.all(["alice", "later", "bob-again"].map((name) => users.registerUser(`t6-${name}`)));
  if (!alice || !late || !bob) throw new Error("three are three");
  const room = await alice.createRoom({ preset: "public_chat" });
  await bob.join(room);
  await bob.send(room, WORDS);
  const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: bob.userId }, password: passwordOf("t6-bob-again") };
  await bob.call("POST", "/account/deactivate", { auth, erase: true });
  await late.join(room);
  expect(await sees(late, room)).toEqual(everywhere(false));
  expect(await sees(alice, room)).toEqual(everywhere(true));
  expect(await sees(late, room)).toEqual(everywhere(false));
});
