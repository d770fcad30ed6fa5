import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { cargoBuild, CARGO_TIMEOUT_MS, rustLack } from "../support/cargo-build.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { RustClient, type RustLogin } from "../support/rust-client.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";

const lack = rustLack();

describe.skipIf(lack !== undefined)("T20: the Rust SDK pages back to the start of a room", () => {
  const { url: homeserver, users } = sharedSynapse();
  /** What clients ask. They know its address alone, whatever the server's is after a restart. */
  const before = new HomeserverTap(() => front.url);
  let database: TestDatabase;
  let front: Front;
  let program: string;
  let stores: string;
  const running: RustClient[] = [];

  beforeAll(async () => {
    stores = await mkdtemp(join(tmpdir(), "syncv3-rust-history-"));
    database = await freshDatabase();
    await before.start();
    // Else tokens of our own are given only once the account was seen to read history here.
    front = await new Front(homeserver, database.options, { publicUrl: before.url }).start();
    program = process.env["SYNCV3_TEST_RUST_CLIENT"] ?? (await cargoBuild("rust", "rust-client", (line) => process.stderr.write(`${line}\n`)));
  }, CARGO_TIMEOUT_MS);
  afterEach(async () => {
    await Promise.all(running.splice(0).map((client) => client.close()));
  });
  afterAll(async () => {
    await before.stop();
    await front.stop();
    await database.drop();
    await rm(stores, { recursive: true });
  });

  const launch = (): RustClient => {
    const client = new RustClient(program);
    running.push(client);
    return client;
  };
  const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `message ${from + i}`);

  async function sendAll(sender: TestUser, roomId: string, bodies: readonly string[]): Promise<void> {
    // oxlint-disable-next-line no-await-in-loop -- their order is what is looked at
    for (const body of bodies) await sender.send(roomId, body);
  }

  async function pageToStart(client: RustClient, roomId: string): Promise<string[]> {
    // oxlint-disable-next-line no-await-in-loop -- one page after the other
    while (!(await client.older(20)));
    return client.view.timeline(roomId).flatMap((event) => event.body ?? []);
  }

  /** What happens between the two times that the room is open: the server is there, or away so that all comes in one v2 answer (or behind a gap). */
  const CASES = [
    ["40 messages in one v2 answer", 40, "away"],
    ["40 messages in many v2 answers", 40, "there"],
    ["200 messages over a gap", 200, "away"],
    ["200 messages in many v2 answers", 200, "there"],
  ] as const;

  it.each(CASES)("T20: %s while it was closed: every message once, in order", async (name, count, server) => {
    const label = name.replaceAll(/\W/g, "").toLowerCase();
    const alice = await users.registerUser(`rust-t20-alice-${label}`);
    const bob = await users.registerUser(`rust-t20-bob-${label}`);
    const roomId = await bob.createRoom({ preset: "public_chat", name: "Room" });
    await alice.join(roomId);
    await sendAll(bob, roomId, numbered(0, 30));
    const login: RustLogin = { homeserver: before.url, store: join(stores, label), name: `rust-t20-alice-${label}`, deviceId: "PHONE" };
    const first = launch();
    await first.login(login);
    await first.start();
    await first.until((view) => view.room(roomId)?.latest === "message 29");
    await first.open(roomId);
    await first.until((view) => view.message(roomId, "message 29"));
    await first.close();
    if (server === "away") await front.stop();
    await sendAll(bob, roomId, numbered(30, 30 + count));
    if (server === "away") await front.start();
    const last = `message ${29 + count}`;
    const again = launch();
    await again.restore(before.url, login.store);
    await again.start();
    await again.until((view) => view.room(roomId)?.latest === last);
    await again.open(roomId);
    await again.until((view) => view.message(roomId, last));
    expect(await pageToStart(again, roomId)).toEqual(numbered(0, 30 + count));
  });
});
