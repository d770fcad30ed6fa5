/** T10: device lists of an account with several devices, over random histories. */

import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";

import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { v2 } from "../../../test/support/events.ts";
import type { AccountNo, DeviceNo, UserId } from "../../wire/ids.ts";
import { readDeviceLists } from "../../store/ephemeral.ts";
import type { IngestResult } from "./ingest-result.ts";
import { Ingester } from "./ingest.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.sql`truncate accounts restart identity cascade`;
});

const USERS = ["@a:test", "@b:test", "@c:test"];
const DEVICES = 3;

type ListKind = "changed" | "left";
/** `poll`: with rooms by the first device, or by one further device; or a client's sync. `unfiltered`: the homeserver has lists in each poll. */
type ListStep =
  | { readonly kind: "history"; readonly user: string; readonly is: ListKind }
  | { readonly kind: "rooms" }
  | { readonly kind: "own"; readonly device: number }
  | { readonly kind: "client"; readonly device: number }
  | { readonly kind: "begin"; readonly device: number };

const deviceNumber = fc.integer({ min: 0, max: DEVICES - 1 });
const step: fc.Arbitrary<ListStep> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("history" as const),
      user: fc.constantFrom(...USERS),
      is: fc.constantFrom<ListKind>("changed", "left"),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: "rooms" as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("own" as const), device: fc.integer({ min: 1, max: DEVICES - 1 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("client" as const), device: deviceNumber }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("begin" as const), device: deviceNumber }) },
);

/** What the homeserver knows: each change of a user, oldest first. A poll returns the last state of each user since its own cursor. */
class ListWorld {
  readonly history: { readonly user: string; readonly is: ListKind }[] = [];

  since(cursor: number): { changed: string[]; left: string[] } {
    const last = new Map(this.history.slice(cursor).map(({ user, is }) => [user, is]));
    const of = (kind: ListKind) => [...last].filter(([, is]) => is === kind).map(([user]) => user);
    return { changed: of("changed"), left: of("left") };
  }
}

class Account {
  readonly #ingester = new Ingester({ sql: database.sql });
  readonly account: AccountNo;
  readonly devices: readonly DeviceNo[];
  /** `cursor`: how far in the history a device was polled. `seq`: up to where its client was sent changes; null: it has no session. */
  readonly cursors: number[] = Array.from({ length: DEVICES }, () => 0);
  readonly sinces: (string | null)[] = Array.from({ length: DEVICES }, () => null);
  readonly clients: ({ seq: number; readonly lists: Map<string, ListKind>; begunAt: number } | null)[] = Array.from({ length: DEVICES }, () => null);
  #batch = 0;

  private constructor(account: AccountNo, devices: readonly DeviceNo[]) {
    this.account = account;
    this.devices = devices;
  }

  static async create(name: string): Promise<Account> {
    const [row] = await database.sql<{ account: AccountNo }[]>`insert into accounts (user_id) values (${name}) returning account`;
    if (!row) throw new Error("no account");
    const devices = await database.sql<{ device: DeviceNo }[]>`
      insert into devices (account, device_id) select ${row.account}, 'D' || n from generate_series(1, ${DEVICES}::integer) n returning device`;
    return new Account(
      row.account,
      devices.map(({ device }) => device),
    );
  }

  poll(world: ListWorld, index: number, hasLists: boolean): Promise<IngestResult> {
    const rooms = index === 0;
    const next_batch = `s${(this.#batch += 1)}`;
    const response = v2({ next_batch, ...(hasLists && { device_lists: world.since(this.cursors[index] ?? 0) }) });
    const since = this.sinces[index] ?? null;
    this.sinces[index] = next_batch;
    this.cursors[index] = world.history.length;
    return this.#ingester.ingest({
      account: this.account,
      device: this.devices[index] as DeviceNo,
      userId: "@me:test" as UserId,
      epoch: null,
      rooms,
      accountSince: rooms ? since : null,
      deviceSince: since,
      overlap: false,
      text: JSON.stringify(response),
      now: 1_800_000_000_000,
    });
  }

  /** A client begins: its first answer has no lists, so that it asks for all. */
  async begin(world: ListWorld, index: number): Promise<void> {
    const device = this.devices[index] as DeviceNo;
    await database.sql`insert into sessions (account, device, kind) values (${this.account}, ${device}, 'v3')`;
    this.clients[index] = { seq: await this.#seq(device), lists: new Map(), begunAt: world.history.length };
  }

  async client(index: number): Promise<void> {
    const client = this.clients[index];
    const device = this.devices[index] as DeviceNo;
    if (!client) return;
    const seq = await this.#seq(device);
    const { changed, left } = await readDeviceLists(database.sql, device, client.seq, seq);
    if (changed.some((user) => left.includes(user))) throw new Error(`both changed and left: ${String(changed)}, ${String(left)}`);
    for (const user of left) client.lists.set(user, "left");
    for (const user of changed) client.lists.set(user, "changed");
    client.seq = seq;
  }

  async #seq(device: DeviceNo): Promise<number> {
    const [row] = await database.sql<{ seq: number }[]>`select seq from devices where device = ${device}`;
    return row?.seq ?? 0;
  }
}

/** The changes that the client must have been sent for a user: a changed device list must never be missed; a superfluous "left" does no harm. */
function expectSent(world: ListWorld, account: Account, index: number): void {
  const client = account.clients[index];
  if (!client) return;
  for (const user of USERS) {
    const later = world.history.slice(client.begunAt).filter((change) => change.user === user);
    const last = later.at(-1)?.is;
    if (last !== undefined) expect([user, client.lists.get(user)]).toEqual([user, last]);
  }
}

it.each([
  ["as Synapse: lists in the room poll alone", false],
  ["as others: lists in the polls of every device", true],
])("T10: each client is sent the last state of every user whose devices changed since it started (%s)", async (_, unfiltered) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      await database.sql`truncate accounts restart identity cascade`;
      const world = new ListWorld();
      const account = await Account.create("@me:test");
      for (let index = 0; index < DEVICES; index += 1) await account.poll(world, index, true);
      for (const one of steps) {
        if (one.kind === "history") world.history.push(one);
        else if (one.kind === "rooms") await account.poll(world, 0, true);
        else if (one.kind === "own") await account.poll(world, one.device, unfiltered);
        else if (one.kind === "client") await account.client(one.device);
        else await account.begin(world, one.device);
      }
      for (const index of [0, 1, 2]) await account.poll(world, index, index === 0 || unfiltered);
      for (const index of [0, 1, 2]) {
        await account.client(index);
        expectSent(world, account, index);
      }
      const rows = await database.sql`select device, user_id from device_lists`;
      expect(rows.length, "one row a device and user").toBeLessThanOrEqual(DEVICES * USERS.length);
    }),
    { numRuns: 20 },
  );
});

it("T10: concurrent polls of many accounts and all of their devices never deadlock, and nothing is missed", async () => {
  const accounts = await Promise.all(Array.from({ length: 12 }, (_, n) => Account.create(`@user${n}:test`)));
  const world = new ListWorld();
  for (const account of accounts) for (const index of [0, 1, 2]) await account.begin(world, index);
  for (const account of accounts) for (const index of [0, 1, 2]) await account.poll(world, index, false);
  for (let round = 0; round < 10; round += 1) {
    world.history.push({ user: USERS[round % 3] ?? "", is: round % 4 === 3 ? "left" : "changed" });
    // Polls of each account's devices at the same time, together with the other work that locks devices without their account.
    const results = await Promise.all(accounts.flatMap((account) => [0, 1, 2].map((index) => account.poll(world, index, index < 2))));
    expect(new Set(results.map((result) => result.kind))).toEqual(new Set(["stored"]));
  }
  for (const account of accounts) {
    for (const index of [0, 1, 2]) {
      await account.client(index);
      expectSent(world, account, index);
    }
  }
});
