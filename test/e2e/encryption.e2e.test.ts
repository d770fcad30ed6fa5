import { afterAll, beforeAll, expect, it } from "vitest";
import { copyStore } from "../support/copy-store.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Follower } from "../support/follow.ts";
import { Front } from "../support/front.ts";
import { OlmDevice } from "../support/olm-device.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { type DialectName, DIALECTS, SlidingClient } from "../support/sliding.ts";
import type { TestUser } from "../support/synapse-api.ts";
import type { Answer } from "../support/v3.ts";

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

/** Syncs of one connection, whose answers have the shape of sync v3's: encryption data, and what rooms say. */
type Syncs = (timeout: number) => Promise<Answer>;

/** One that begins with the first call. */
function syncsOf(user: TestUser, api: "v3" | DialectName): Syncs {
  if (api === "v3") {
    const session = new Follower(front.client(user));
    return (timeout) => session.step({ to_device: {}, e2ee: {} }, timeout);
  }
  const client = new SlidingClient(front.client(user), api);
  let pos: string | undefined;
  let since: string | undefined;
  return async (timeout) => {
    const ext = { e2ee: { enabled: true }, to_device: { enabled: true, ...(since !== undefined && { since }) } };
    const { extensions, pos: next } = await client.sync({ ext }, { pos, timeout });
    pos = next;
    since = extensions["to_device"].next_batch as string;
    return { next, ...extensions };
  };
}

const APIS = ["v3", ...DIALECTS] as const;
const encrypted = [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }];

it.each(APIS)("T10: a second device's client encrypts to a user who left, made a new device and came back: it decrypts (%s)", async (api) => {
  const phone = (await users.registerUser(`t10-alice-${api}`, "PHONE")).at(front.url);
  const tablet = (await users.login(`t10-alice-${api}`, "TABLET")).at(front.url);
  const bob = (await users.registerUser(`t10-bob-${api}`, "OLD")).at(front.url);
  const roomId = await phone.createRoom({ preset: "public_chat", initial_state: encrypted });
  await bob.join(roomId);
  // The rooms come by the phone's poll, as it was here first.
  await front.client(phone).sync({ room_list: {} });

  const next = syncsOf(tablet, api);
  const sender = await OlmDevice.open(tablet, `t10-tablet-${api}`);
  await sender.receive(await next(0));
  await sender.pump();
  const old = await OlmDevice.open(bob, `t10-old-${api}`);
  await old.pump();
  await sender.sendEncrypted(roomId, [phone.userId, bob.userId], "before");

  const heard = async (kind: "left" | "changed") => {
    for (let lists: Record<string, string[]> | undefined; !lists?.[kind]?.includes(bob.userId);) {
      const answer = await next(30_000);
      lists = answer["e2ee"]?.device_lists;
      await sender.receive(answer);
    }
  };
  await bob.leave(roomId);
  await heard("left");
  const back = (await users.login(`t10-bob-${api}`, "NEW")).at(front.url);
  const reader = await OlmDevice.open(back, `t10-new-${api}`);
  await reader.pump();
  const readers = syncsOf(back, api);
  await reader.receive(await readers(0));
  await back.join(roomId);
  await heard("changed");

  const id = await sender.sendEncrypted(roomId, [phone.userId, bob.userId], "after");
  const event = await back.call<{ room_id: string }>("GET", `/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(id)}`);
  let keys = 0;
  while (keys === 0) {
    const answer = await readers(30_000);
    keys = answer["to_device"]?.events?.length ?? 0;
    await reader.receive(answer);
  }
  expect((await reader.decrypt(event)).content.body).toBe("after");
  for (const device of [sender, old, reader]) device.close();
});

it.each(APIS)("T11: after an upload of keys the next answer says that they are there: nothing is uploaded again (%s)", async (api) => {
  const user = (await users.registerUser(`t11-${api}`)).at(front.url);
  const next = syncsOf(user, api);
  const device = await OlmDevice.open(user, `t11-${api}`);
  await device.receive(await next(0));
  await device.pump();
  const answer = await next(0);
  expect(answer["e2ee"].device_one_time_keys_count).toEqual({ signed_curve25519: 50 });
  expect(answer["e2ee"].device_unused_fallback_key_types).toEqual(["signed_curve25519"]);
  await device.receive(answer);
  expect(await device.keyUploads()).toBe(0);
  device.close();
});
