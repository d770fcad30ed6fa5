/** Profiles of a real Synapse (MSC4429), through sliding sync (MSC4262). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { Json } from "../support/fake-homeserver.ts";
import { Front } from "../support/front.ts";
import { type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { startSynapse, type Synapse } from "../support/synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";

let synapse: Synapse;
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  [synapse, database] = await Promise.all([startSynapse({ more: { include_profile_updates_in_sync: true } }), freshDatabase()]);
  front = await new Front(synapse.url, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await synapse.stop();
  await database.drop();
});

const NAME = "org.matrix.msc4262.profiles";
const fieldPath = (user: TestUser, field: string) => `/profile/${encodeURIComponent(user.userId)}/${field}`;
const set = (user: TestUser, field: string, value: unknown) => user.call("PUT", fieldPath(user, field), { [field]: value });
const unset = (user: TestUser, field: string) => user.call("DELETE", fieldPath(user, field));
const ask = (fields?: readonly string[]): Ask => ({
  lists: { all: { ranges: [[0, 9]], limit: 10, state: [["m.room.member", "$LAZY"]] } },
  ext: { [NAME]: { enabled: true, ...(fields && { fields }) } },
});

/** A client that puts profiles together as it is sent them: user → field → value. */
class Reader {
  readonly profiles = new Map<string, Map<string, unknown>>();
  readonly #phone: SlidingClient;
  readonly #ask: Ask;
  pos: string | undefined;

  constructor(phone: SlidingClient, asked = ask()) {
    this.#phone = phone;
    this.#ask = asked;
  }

  async next(): Promise<void> {
    const answer = await this.#phone.sync(this.#ask, { pos: this.pos, timeout: 10_000 });
    this.pos = answer.pos;
    const { users = {} } = (answer.extensions[NAME] ?? {}) as { users?: Record<string, { updated?: Json; removed?: string[] } | null> };
    for (const [user, changes] of Object.entries(users)) {
      if (changes === null) this.profiles.delete(user);
      else this.#apply(user, changes);
    }
  }

  #apply(user: string, { updated = {}, removed = [] }: { updated?: Json; removed?: string[] }): void {
    const profile = this.profiles.get(user) ?? new Map<string, unknown>();
    for (const [field, value] of Object.entries(updated)) profile.set(field, value);
    for (const field of removed) profile.delete(field);
    this.profiles.set(user, profile);
  }

  /** Until a user's field has that value; undefined: it is gone. */
  async until(user: TestUser, field: string, value: unknown): Promise<void> {
    const wanted = JSON.stringify(value);
    // oxlint-disable-next-line no-await-in-loop -- each continues the one before
    while (JSON.stringify(this.profiles.get(user.userId)?.get(field)) !== wanted) await this.next();
  }
}

let made = 0;
async function scene() {
  made += 1;
  const names = ["me", "bob", "carol"].map((name) => `${name}${made}`);
  const [me, bob, carol] = await Promise.all(names.map((name) => synapse.users.registerUser(name)));
  if (!me || !bob || !carol) throw new Error("no users");
  await Promise.all([set(bob, "m.status", { text: "early" }), set(carol, "m.status", { text: "quiet" })]);
  const room = await bob.createRoom({ preset: "public_chat", name: "here" });
  await Promise.all([me.join(room), carol.join(room)]);
  await bob.send(room, "hello");
  return { me, bob, carol, room };
}
const readerOf = (user: TestUser, dialect: DialectName, asked?: Ask) => new Reader(new SlidingClient(front.client(user), dialect), asked);

it("M69: /versions says that there are profiles", async () => {
  const { me } = await scene();
  const { unstable_features: flags } = await me.at(front.url).call<{ unstable_features: Json }>("GET", "/_matrix/client/versions");
  expect(flags).toMatchObject({ "org.matrix.msc4429": true, "org.matrix.msc4262": true });
});

describe.each(DIALECTS)("profiles of Synapse (%s)", (dialect) => {
  it("M65 M66 M67: those of who was there before, changes of anybody, and a field that is gone", async () => {
    const { me, bob, carol } = await scene();
    const reader = readerOf(me, dialect);
    await reader.until(bob, "m.status", { text: "early" });
    await reader.until(me, "displayname", me.userId.slice(1).split(":")[0]);
    await set(bob, "m.status", { emoji: "🏊", text: "late" });
    await reader.until(bob, "m.status", { emoji: "🏊", text: "late" });
    await set(carol, "displayname", "Carol");
    await reader.until(carol, "displayname", "Carol");
    await unset(bob, "m.status");
    await reader.until(bob, "m.status", undefined);
    await set(me, "m.tz", "Europe/Berlin");
    await reader.until(me, "m.tz", "Europe/Berlin");
    // What changes while nobody polls is not lost.
    await front.stop();
    await set(bob, "m.status", { text: "away" });
    await front.start();
    await reader.until(bob, "m.status", { text: "away" });
    expect(Object.fromEntries(reader.profiles.get(carol.userId) ?? [])).toMatchObject({ displayname: "Carol" });
  });

  it("M67 M68: who leaves the last room is null; who comes, comes with what is there", async () => {
    const { me, bob, carol, room } = await scene();
    const reader = readerOf(me, dialect, ask(["m.status"]));
    await reader.until(bob, "m.status", { text: "early" });
    await carol.send(room, "hello");
    await reader.until(carol, "m.status", { text: "quiet" });
    await carol.leave(room);
    // oxlint-disable-next-line no-await-in-loop -- each continues the one before
    while (reader.profiles.has(carol.userId)) await reader.next();
    await set(carol, "m.status", { text: "back" });
    await carol.join(room);
    await reader.until(carol, "m.status", { text: "back" });
    expect([...(reader.profiles.get(bob.userId)?.keys() ?? [])]).toEqual(["m.status"]);
  });

  it("M65 M66: a field of one's own, first asked for in mid-connection", async () => {
    const { me, bob } = await scene();
    await set(bob, "org.example.colour", "red");
    const first = readerOf(me, dialect, ask(["m.status"]));
    await first.until(bob, "m.status", { text: "early" });
    const then = readerOf(me, dialect, ask(["m.status", "org.example.colour"]));
    then.pos = first.pos;
    await then.until(bob, "org.example.colour", "red");
    await set(bob, "org.example.colour", "blue");
    await then.until(bob, "org.example.colour", "blue");
    expect(Object.fromEntries(first.profiles.get(bob.userId) ?? [])).toEqual({ "m.status": { text: "early" } });
  });
});
