import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { JsClient, listOf, logInJs, type JsLogin } from "../support/js-client.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { passwordOf, type TestUser } from "../support/synapse-api.ts";

const { url: homeserver, users } = sharedSynapse();
const running: JsClient[] = [];
let database: TestDatabase;
let tap: HomeserverTap;
let front: Front;
let alice: TestUser;
let bob: TestUser;
let aliceLogin: JsLogin;
let bobLogin: JsLogin;

beforeAll(async () => {
  database = await freshDatabase();
  tap = await new HomeserverTap(homeserver).start();
  front = await new Front(tap.url, database.options).start();
  // These two act from devices of their own; the clients under test have others.
  alice = await users.registerUser("js-alice");
  bob = await users.registerUser("js-bob");
  aliceLogin = await logInJs(front.url, "js-alice", passwordOf("js-alice"), "JSALICE");
  bobLogin = await logInJs(front.url, "js-bob", passwordOf("js-bob"), "JSBOB");
});
afterEach(() => {
  for (const client of running.splice(0)) client.stop();
});
afterAll(async () => {
  await front.stop();
  await tap.stop();
  await database.drop();
});

async function start(login: JsLogin, lists: Parameters<typeof JsClient.start>[1] = { all: listOf(20) }): Promise<JsClient> {
  const client = await JsClient.start(login, lists);
  running.push(client);
  return client;
}

/** A room with both in it, the event ids of nobody's interest. */
async function sharedRoom(name: string): Promise<string> {
  const roomId = await alice.createRoom({ preset: "public_chat", name });
  await bob.join(roomId);
  return roomId;
}

describe("M63 M20: matrix-js-sdk with SlidingSync, through the one address", () => {
  it("shows the room list, opens a room and reads back in it", async () => {
    const roomId = await sharedRoom("Reading");
    for (let i = 1; i <= 30; i += 1) await bob.send(roomId, `message ${i}`);
    await alice.createRoom({ preset: "private_chat", name: "Other room" });

    const client = await start(aliceLogin);
    await client.until(() => client.isSynced());
    expect(client.count("all")).toBe(2);
    expect(client.roomNames().toSorted()).toEqual(["Other room", "Reading"]);
    expect(client.texts(roomId)).toEqual(["message 30"]);

    client.open(roomId);
    await client.until(() => client.texts(roomId).length === 20);
    expect(client.texts(roomId).at(0)).toBe("message 11");
    const room = client.room(roomId);
    expect(room?.getJoinedMemberCount()).toBe(2);
    expect(room?.getMember(bob.userId)?.membership).toBe("join");
    expect(room?.currentState.getStateEvents("m.room.join_rules", "")?.getContent()).toEqual({ join_rule: "public" });

    if (room) await client.client.scrollback(room, 20);
    expect(client.texts(roomId)).toEqual(Array.from({ length: 30 }, (_, index) => `message ${index + 1}`));
    expect(client.failures).toEqual([]);
  });

  it("sends and receives; its own message is there once", async () => {
    const roomId = await sharedRoom("Talking");
    const [sender, receiver] = [await start(aliceLogin), await start(bobLogin)];
    for (const client of [sender, receiver]) {
      client.open(roomId);
      await client.until(() => client.room(roomId)?.getMember(bob.userId));
    }

    const typing = receiver.until(() => receiver.room(roomId)?.getMember(alice.userId)?.typing);
    await sender.client.sendTyping(roomId, true, 20_000);
    await typing;

    const { event_id: sent } = await sender.client.sendTextMessage(roomId, "hello");
    await receiver.until(() => receiver.texts(roomId).includes("hello"));
    // The event of the timeline takes the local echo's place, by its transaction id.
    await sender.until(() => sender.room(roomId)?.findEventById(sent)?.status === null);
    expect(sender.texts(roomId)).toEqual(["hello"]);

    await receiver.client.sendTextMessage(roomId, "hello yourself");
    await sender.until(() => sender.texts(roomId).includes("hello yourself"));
    expect(sender.texts(roomId)).toEqual(["hello", "hello yourself"]);
  });

  it("an opened room that is in no list stays subscribed, although only one request named it", async () => {
    const roomId = await sharedRoom("Not a direct one");
    const chat = await bob.createRoom({ preset: "trusted_private_chat", is_direct: true, invite: [alice.userId] });
    await alice.join(chat);
    await alice.call("PUT", `/user/${encodeURIComponent(alice.userId)}/account_data/m.direct`, { [bob.userId]: [chat] });
    const client = await start(aliceLogin, { direct: listOf(1, { is_dm: true }) });
    await client.until(() => client.room(chat)?.getMyMembership() === "join");
    expect(client.count("direct")).toBe(1);
    expect(client.room(roomId)).toBeUndefined();

    client.open(roomId);
    await client.until(() => client.room(roomId)?.getMember(bob.userId));
    for (const text of ["one", "two", "three"]) {
      await bob.send(roomId, text);
      await client.until(() => client.texts(roomId).includes(text));
    }
    expect(client.texts(roomId)).toEqual(["one", "two", "three"]);
    const typing = client.until(() => client.room(roomId)?.getMember(bob.userId)?.typing);
    await bob.typing(roomId, true);
    await typing;

    // Closed, it is told no more: what came later in another room is here, and this is not.
    client.open();
    await client.client.sendTextMessage(chat, "closed");
    await client.until(() => client.texts(chat).includes("closed"));
    await bob.send(roomId, "unseen");
    await bob.send(chat, "after it");
    await client.until(() => client.texts(chat).includes("after it"));
    expect(client.texts(roomId)).toEqual(["one", "two", "three"]);
    expect(client.failures).toEqual([]);
  });

  it("is invited, and joins", async () => {
    const client = await start(bobLogin);
    await client.until(() => client.isSynced());
    const roomId = await alice.createRoom({ preset: "private_chat", name: "By invitation", invite: [bob.userId] });
    await alice.send(roomId, "welcome");
    await client.until(() => client.room(roomId)?.getMyMembership() === "invite");
    expect(client.room(roomId)?.name).toBe("By invitation");

    await client.client.joinRoom(roomId);
    await client.until(() => client.room(roomId)?.getMyMembership() === "join");
    client.open(roomId);
    await client.until(() => client.texts(roomId).includes("welcome"));
    await client.until(() => client.room(roomId)?.getJoinedMemberCount() === 2);
  });

  it("sees how far others have read, and sends read receipts", async () => {
    const roomId = await sharedRoom("Receipts");
    const eventId = await alice.send(roomId, "read this");
    const [first, second] = [await start(aliceLogin), await start(bobLogin)];
    for (const client of [first, second]) {
      client.open(roomId);
      await client.until(() => client.texts(roomId).includes("read this"));
    }
    const event = second.room(roomId)?.findEventById(eventId);
    expect(event).toBeDefined();
    const seen = first.until(() => first.room(roomId)?.getEventReadUpTo(bob.userId) === eventId);
    await second.client.sendReadReceipt(event ?? null);
    await seen;
  });

  it("talks in an encrypted room; a client that starts again, too, with what was sent in between", async () => {
    const roomId = await alice.createRoom({
      preset: "private_chat",
      name: "Secret",
      invite: [bob.userId],
      initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await bob.join(roomId);
    const first = await start(aliceLogin);
    let second = await start(bobLogin);
    for (const client of [first, second]) {
      client.open(roomId);
      await client.until(() => client.room(roomId)?.getMember(bob.userId));
      await client.readyToEncrypt(roomId);
    }
    await first.client.sendTextMessage(roomId, "from alice");
    await second.until(() => second.texts(roomId).includes("from alice"));
    await second.client.sendTextMessage(roomId, "from bob");
    await first.until(() => first.texts(roomId).includes("from bob"));

    second.stop();
    // A new key, which waits for the device that is away.
    await first.client.getCrypto()?.forceDiscardSession(roomId);
    await first.client.sendTextMessage(roomId, "while you were away");
    second = await start(bobLogin);
    second.open(roomId);
    await second.until(() => second.room(roomId)?.getMember(alice.userId));
    await second.decrypt(roomId);
    expect(second.texts(roomId)).toEqual(["from alice", "from bob", "while you were away"]);
    await second.client.sendTextMessage(roomId, "back again");
    await first.until(() => first.texts(roomId).includes("back again"));
    expect([...first.failures, ...second.failures]).toEqual([]);
  });

  it("was answered by this server, not by the homeserver's own sliding sync", () => {
    const paths = tap.requests.map(({ method, path }) => `${method} ${path}`);
    expect(paths).toContain("GET /_matrix/client/v3/sync");
    expect(paths.filter((path) => path.includes("org.matrix.simplified_msc3575"))).toEqual([]);
  });
});
