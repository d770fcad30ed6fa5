import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { cargoBuild, CARGO_TIMEOUT_MS, rustLack } from "../support/cargo-build.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { RustClient, type RustLogin } from "../support/rust-client.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { WellKnownHost } from "../support/well-known-host.ts";

const SLIDING_SYNC = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const lack = rustLack();
if (lack !== undefined) process.stderr.write(`Tests with Rust programs are left out: ${lack}\n`);

describe.skipIf(lack !== undefined)("M63: the Rust SDK, as Element X uses it", () => {
  const { url: homeserver, users } = sharedSynapse();
  /** What the homeserver is asked. */
  const behind = new HomeserverTap(homeserver);
  /** What clients ask. They know its address alone, whatever the server's is after a restart. */
  const before = new HomeserverTap(() => front.url);
  let database: TestDatabase;
  let front: Front;
  let program: string;
  let stores: string;
  const running: RustClient[] = [];

  beforeAll(async () => {
    stores = await mkdtemp(join(tmpdir(), "syncv3-rust-client-"));
    database = await freshDatabase();
    await behind.start();
    front = await new Front(behind.url, database.options).start();
    await before.start();
    program = await cargoBuild("rust", "rust-client", (line) => process.stderr.write(`${line}\n`));
  }, CARGO_TIMEOUT_MS);
  afterEach(async () => {
    await Promise.all(running.splice(0).map((client) => client.close()));
  });
  afterAll(async () => {
    await before.stop();
    await front.stop();
    await behind.stop();
    await database.drop();
    await rm(stores, { recursive: true });
  });

  const launch = () => {
    const client = new RustClient(program);
    running.push(client);
    return client;
  };
  const loginOf = (name: string, deviceId = "PHONE"): RustLogin => ({
    homeserver: before.url,
    store: join(stores, `${name}-${deviceId}`),
    name,
    deviceId,
  });
  /** A client of that user that syncs. */
  const launchFor = async (name: string, deviceId?: string) => {
    const client = launch();
    await client.login(loginOf(name, deviceId));
    await client.start();
    return client;
  };
  const syncs = (tap: HomeserverTap, from = 0) => tap.requests.slice(from).filter((request) => request.path === SLIDING_SYNC);

  it("shows the list of rooms, newest first, and keeps it so", async () => {
    const alice = await users.registerUser("rust-list-alice");
    const bob = await users.registerUser("rust-list-bob");
    const roomIds: string[] = [];
    for (const name of ["One", "Two", "Three"]) {
      const roomId = await bob.createRoom({ preset: "public_chat", name, topic: `topic of ${name}` });
      await alice.join(roomId);
      await bob.send(roomId, `hello ${name}`);
      roomIds.push(roomId);
    }
    const client = await launchFor("rust-list-alice");
    const shows = (...rooms: [name: string, latest: string, unread: number][]) =>
      client.until((view) =>
        isDeepStrictEqual(
          rooms,
          view.rooms.map((room) => [room.name, room.latest, room.unread_messages]),
        ),
      );
    const [one = "", , three = ""] = roomIds;
    await shows(["Three", "hello Three", 1], ["Two", "hello Two", 1], ["One", "hello One", 1]);
    expect(client.view.room(three)).toMatchObject({ state: "joined", topic: "topic of Three", is_dm: false, is_encrypted: false, joined_count: 2 });
    await bob.send(one, "again");
    await shows(["One", "again", 2], ["Three", "hello Three", 1], ["Two", "hello Two", 1]);
    await bob.setState(three, "m.room.name", "", { name: "Renamed" });
    await client.until((view) => view.room(three)?.name === "Renamed");
  });

  it("gets a list that is longer than the part that it asks for first", async () => {
    const alice = await users.registerUser("rust-long-alice");
    const names = Array.from({ length: 25 }, (_, i) => `Room ${i}`);
    for (const name of names) await alice.send(await alice.createRoom({ name }), `hello ${name}`);
    const client = await launchFor("rust-long-alice");
    const newestFirst = names.toReversed().map((name) => [name, `hello ${name}`]);
    const rooms = await client.until(
      (view) =>
        isDeepStrictEqual(
          newestFirst,
          view.rooms.map((room) => [room.name, room.latest]),
        ) && view.rooms,
    );
    expect(rooms).toHaveLength(25);
  });

  it("opens a room: its history, messages both ways, typing, receipts both ways", async () => {
    const alice = await users.registerUser("rust-room-alice");
    const bob = await users.registerUser("rust-room-bob");
    const roomId = await bob.createRoom({ preset: "public_chat", name: "Room" });
    await alice.join(roomId);
    for (let i = 0; i < 40; i += 1) await bob.send(roomId, `message ${i}`);
    const client = await launchFor("rust-room-alice");
    await client.until((view) => view.room(roomId)?.latest === "message 39");
    await client.open(roomId);
    await client.until((view) => view.message(roomId, "message 20"));
    while (!(await client.older(30)));
    await client.until((view) => view.message(roomId, "message 0"));
    const bodies = () => client.view.timeline(roomId).flatMap((event) => event.body ?? []);
    const history = Array.from({ length: 40 }, (_, i) => `message ${i}`);
    expect(bodies()).toEqual(history);
    // The server's count of unread messages, and the client's own.
    const unread = (count: number) =>
      client.until((view) => view.room(roomId)?.notification_count === count && view.room(roomId)?.unread_messages === count);
    await client.markRead();
    await unread(0);

    const sent = await client.send(roomId, "from the Rust SDK");
    expect(sent).toMatchObject({ sender: alice.userId, encrypted: false });
    await bob.readReceipt(roomId, sent.event_id ?? "");
    await client.until((view) => view.message(roomId, "from the Rust SDK")?.read_by.includes(bob.userId));
    await bob.typing(roomId, true);
    await client.until((view) => view.typing(roomId).includes(bob.userId));
    await bob.send(roomId, "answer");
    await Promise.all([client.until((view) => view.message(roomId, "answer")), unread(1)]);
    expect(bodies()).toEqual([...history, "from the Rust SDK", "answer"]);
    await client.markRead();
    await unread(0);
  });

  it("is invited, joins and leaves", async () => {
    const alice = await users.registerUser("rust-invite-alice");
    const bob = await users.registerUser("rust-invite-bob");
    const roomId = await alice.createRoom({ preset: "private_chat", name: "Invited" });
    const [inviter, invited] = [await launchFor("rust-invite-alice"), await launchFor("rust-invite-bob")];
    await inviter.until((view) => view.room(roomId));
    await inviter.invite(roomId, bob.userId);
    const invitation = await invited.until((view) => view.room(roomId)?.name === "Invited" && view.room(roomId));
    expect(invitation.state).toBe("invited");
    await inviter.until((view) => view.room(roomId)?.invited_count === 1);
    await invited.join(roomId);
    await invited.until((view) => view.room(roomId)?.state === "joined" && view.room(roomId)?.joined_count === 2);
    await inviter.until((view) => view.room(roomId)?.joined_count === 2);
    await invited.leave(roomId);
    await invited.until((view) => view.room(roomId) === undefined);
    await inviter.until((view) => view.room(roomId)?.joined_count === 1);
  });

  it("two clients in an encrypted room: each reads what the other writes, and that it was read", async () => {
    const alice = await users.registerUser("rust-olm-alice");
    const bob = await users.registerUser("rust-olm-bob");
    const one = { client: await launchFor("rust-olm-alice"), userId: alice.userId };
    const other = { client: await launchFor("rust-olm-bob"), userId: bob.userId };
    const roomId = await one.client.createDm(bob.userId);
    await other.client.until((view) => view.room(roomId)?.state === "invited");
    await other.client.join(roomId);
    for (const { client } of [one, other]) {
      await client.until((view) => view.room(roomId)?.joined_count === 2 && view.room(roomId)?.is_encrypted);
      await client.open(roomId);
    }
    for (const [sender, reader, body] of [
      [one, other, "to you"],
      [other, one, "and to you"],
      [one, other, "once more"],
    ] as const) {
      const sent = await sender.client.send(roomId, body);
      expect(sent).toMatchObject({ sender: sender.userId, encrypted: true });
      const read = await reader.client.until((view) => view.message(roomId, body));
      expect(read).toMatchObject({ event_id: sent.event_id, sender: sender.userId, encrypted: true });
      await reader.client.markRead();
      await sender.client.until((view) => view.message(roomId, body)?.read_by.includes(reader.userId));
    }
    for (const { client } of [one, other]) {
      await client.until((view) => view.room(roomId)?.is_dm && view.room(roomId)?.latest === "once more");
      expect(client.view.timeline(roomId).filter((event) => event.undecryptable)).toEqual([]);
    }
  });

  it("goes on from its stored position after a restart, with what it missed, keys too", async () => {
    const alice = await users.registerUser("rust-again-alice");
    await users.registerUser("rust-again-bob");
    const [first, bob] = [await launchFor("rust-again-alice"), await launchFor("rust-again-bob")];
    const roomId = await bob.createDm(alice.userId);
    await first.until((view) => view.room(roomId)?.state === "invited");
    await first.join(roomId);
    await bob.until((view) => view.room(roomId)?.joined_count === 2);
    await bob.open(roomId);
    await bob.send(roomId, "seen at once");
    await first.until((view) => view.room(roomId)?.latest === "seen at once");
    await Promise.all([first.close(), bob.close()]);
    // Another device encrypts with a key of its own, which it sends to the one that is away.
    const tablet = await launchFor("rust-again-bob", "TABLET");
    await tablet.until((view) => view.room(roomId)?.is_encrypted);
    await tablet.open(roomId);
    await tablet.send(roomId, "sent meanwhile");

    const from = before.requests.length;
    const again = launch();
    await again.restore(before.url, loginOf("rust-again-alice").store);
    await again.start();
    await again.until((view) => view.room(roomId)?.latest === "sent meanwhile");
    await again.open(roomId);
    const read = (body: string) => again.until((view) => view.message(roomId, body));
    expect([await read("seen at once"), await read("sent meanwhile")]).toMatchObject([{ encrypted: true }, { encrypted: true }]);
    await tablet.close();
    // The connection for encryption keeps no position; that of the room list does.
    expect(syncs(before, from).filter((request) => !request.query.has("pos"))).toHaveLength(1);
  });

  it("continues after a restart of the server where it was", async () => {
    const alice = await users.registerUser("rust-server-alice");
    const roomId = await alice.createRoom({ name: "Survivor" });
    const client = await launchFor("rust-server-alice");
    await client.until((view) => view.sync === "running" && view.room(roomId)?.name === "Survivor");
    const from = before.requests.length;
    await front.restart();
    await alice.send(roomId, "after the restart");
    await client.until((view) => view.sync === "running" && view.room(roomId)?.latest === "after the restart");
    expect(syncs(before, from).filter((request) => !request.query.has("pos"))).toEqual([]);
  });

  it("is found by a well-known file, and stays where it is when the homeserver would have it elsewhere", async () => {
    const alice = await users.registerUser("rust-known-alice");
    const roomId = await alice.createRoom({ name: "Known" });
    const domain = await new WellKnownHost(before.url).start();
    const client = launch();
    const session = await client.login({ ...loginOf("rust-known-alice"), homeserver: domain.url, discover: true, respectWellKnown: true });
    expect(session).toEqual({ user_id: alice.userId, device_id: "PHONE", homeserver: `${before.url}/` });
    await client.start();
    await client.until((view) => view.room(roomId)?.name === "Known");
    await client.close();
    await domain.stop();
  });

  it("was answered here: no request for sliding sync has reached the homeserver", () => {
    const asked = syncs(before);
    expect(asked.length).toBeGreaterThan(20);
    expect(asked.filter(({ method, status = 200 }) => method !== "POST" || (status >= 400 && status < 500))).toEqual([]);
    expect(syncs(behind)).toHaveLength(0);
  });
});
