import { afterAll, beforeAll, expect, it } from "vitest";
import { copyStore } from "../support/copy-store.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Follower } from "../support/follow.ts";
import { Front } from "../support/front.ts";
import { OlmDevice } from "../support/olm-device.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";

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

it("R9: an app and its extension, two sessions of one device, both decrypt every message", async () => {
  const alice = (await users.registerUser("olm-alice")).at(front.url);
  const bob = (await users.registerUser("olm-bob")).at(front.url);
  const roomId = await bob.createRoom({
    preset: "private_chat",
    invite: [alice.userId],
    initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
  });
  await alice.join(roomId);

  // One device whose keys two processes hold.
  const first = await OlmDevice.open(alice, "olm-alice-app");
  await first.pump();
  first.close();
  await copyStore("olm-alice-app", "olm-alice-extension");
  const app = { crypto: await OlmDevice.open(alice, "olm-alice-app"), session: new Follower(front.client(alice)) };
  const extension = { crypto: await OlmDevice.open(alice, "olm-alice-extension"), session: new Follower(front.client(alice)) };
  const wanted = { to_device: {}, e2ee: {}, room: { room_id: roomId } };
  for (const { crypto, session } of [app, extension]) await crypto.receive(await session.step(wanted));

  const sender = await OlmDevice.open(bob, "olm-bob");
  await sender.pump();
  const texts = ["one", "two", "three"];
  const sent: string[] = [];
  for (const text of texts) sent.push(await sender.sendEncrypted(roomId, [alice.userId, bob.userId], text));

  for (const { crypto, session } of [app, extension]) {
    const read: string[] = [];
    await session.until(async (answer) => {
      // D19: the key is never later than the message it opens, so each can be decrypted at once.
      await crypto.receive(answer);
      for (const event of answer["room"]?.rooms[roomId]?.timeline?.events ?? []) {
        if (event.type === "m.room.encrypted") read.push((await crypto.decrypt(event)).content.body);
      }
      return read.length === texts.length;
    });
    expect(read).toEqual(texts);
    crypto.close();
  }
  sender.close();
  expect(new Set(sent).size).toBe(3);
});
