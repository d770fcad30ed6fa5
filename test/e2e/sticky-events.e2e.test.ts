/** Sticky events (MSC4354) of a real Synapse, through sliding sync (MSC4480). */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { runCommand } from "../support/command.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { Json, MatrixEvent } from "../support/fake-homeserver.ts";
import { Front } from "../support/front.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient, STICKY_EVENTS } from "../support/sliding.ts";
import { startSynapse, type Synapse } from "../support/synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";
import { V3Client } from "../support/v3.ts";

let synapse: Synapse;
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  [synapse, database] = await Promise.all([startSynapse({ more: { experimental_features: { msc4354_enabled: true } } }), freshDatabase()]);
  front = await new Front(synapse.url, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await synapse.stop();
  await database.drop();
});

type Section = { readonly next_batch: string; readonly rooms: Readonly<Record<string, { readonly events: readonly MatrixEvent[] }>> };
const sectionOf = (answer: Answer) => answer.extensions[STICKY_EVENTS] as Section | undefined;
const asking = (since: string | undefined): Json => ({ [STICKY_EVENTS]: { enabled: true, ...(since !== undefined && { since }) } });
const NO_TIMELINES: Ask = { lists: { all: { ranges: [[0, 99]], limit: 0 } } };

let made = 0;
/** Two users of a room, and what the first one's client gets of its sticky events. */
async function scene() {
  made += 1;
  const [me, bob] = [await synapse.users.registerUser(`me${made}`), await synapse.users.registerUser(`bob${made}`)];
  const room = await bob.createRoom({ preset: "public_chat" });
  return { me, bob, room };
}

/** A client that reads sticky events, and acknowledges what it has read. */
class Reader {
  readonly events: MatrixEvent[] = [];
  readonly #phone: SlidingClient;
  readonly #ask: Ask;
  pos: string | undefined;
  since: string | undefined;

  constructor(phone: SlidingClient, ask: Ask = NO_TIMELINES) {
    this.#phone = phone;
    this.#ask = ask;
  }

  /** One answer; its sticky events by room. */
  async next(): Promise<Section["rooms"]> {
    const answer = await this.#phone.sync({ ...this.#ask, ext: asking(this.since) }, { pos: this.pos, timeout: 10_000 });
    this.pos = answer.pos;
    const section = sectionOf(answer);
    this.since = section?.next_batch ?? this.since;
    for (const { events } of Object.values(section?.rooms ?? {})) this.events.push(...events);
    return section?.rooms ?? {};
  }

  readonly ids = () => this.events.map((event) => event.event_id);

  async until(id: string): Promise<void> {
    // oxlint-disable-next-line no-await-in-loop -- each continues the one before
    while (!this.ids().includes(id)) await this.next();
  }
}

const stick = async (user: TestUser, room: string, ms = 600_000) => {
  made += 1;
  const path = `/rooms/${encodeURIComponent(room)}/send/m.rtc.member/${made}?org.matrix.msc4354.sticky_duration_ms=${ms}`;
  return (await user.call<{ event_id: string }>("PUT", path, { n: made })).event_id;
};

it("M74: /versions says that there are sticky events, the homeserver's and ours", async () => {
  const { me } = await scene();
  const { unstable_features: flags } = await me.at(front.url).call<{ unstable_features: Json }>("GET", "/_matrix/client/versions");
  expect(flags).toMatchObject({ "org.matrix.msc4354": true, "org.matrix.msc4480": true });
});

describe.each(DIALECTS)("sticky events of Synapse (%s)", (dialect) => {
  it("M70 M71: those sent in a gap, those that come while a client waits, and the time that is left", async () => {
    const { me, bob, room } = await scene();
    await me.join(room);
    const reader = new Reader(new SlidingClient(front.client(me), dialect));
    await reader.next();
    const ids = [await stick(bob, room), await stick(me, room)];
    for (const id of ids) await reader.until(id);
    expect(reader.ids()).toEqual(ids);
    // What comes while nobody polls is in no timeline: there are more messages than a poll asks for.
    await front.stop();
    const hidden = await stick(bob, room, 300_000);
    // oxlint-disable-next-line no-await-in-loop -- in an order
    for (let n = 0; n < 60; n += 1) await bob.send(room, `message ${n}`);
    await front.start();
    await reader.until(hidden);
    expect(reader.ids()).toEqual([...ids, hidden]);
    const { unsigned } = reader.events.at(-1) as unknown as { unsigned: Json };
    const left = unsigned["msc4354_sticky_duration_ttl_ms"] as number;
    expect(left > 0 && left <= 300_000).toBe(true);
  });

  it("M72: whoever joins gets all that are sticky; a timeline's are not repeated; ignored users' and redacted ones are left out", async () => {
    const { me, bob, room } = await scene();
    const carol = await synapse.users.registerUser(`carol${made}`);
    await carol.join(room);
    const [before, redacted, ignored] = [await stick(bob, room), await stick(bob, room), await stick(carol, room)];
    await bob.call("PUT", `/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(redacted)}/r${made}`, {});
    await me.call("PUT", `/user/${encodeURIComponent(me.userId)}/account_data/m.ignored_user_list`, { ignored_users: { [carol.userId]: {} } });
    // oxlint-disable-next-line no-await-in-loop -- in an order
    for (let n = 0; n < 60; n += 1) await bob.send(room, `message ${n}`);
    const reader = new Reader(new SlidingClient(front.client(me), dialect), { lists: { all: { ranges: [[0, 9]], limit: 5 } } });
    await reader.next();
    await me.join(room);
    await reader.until(before);
    const shown = await stick(bob, room);
    let timeline: MatrixEvent[] = [];
    while (!timeline.some((event) => event.event_id === shown)) {
      // oxlint-disable-next-line no-await-in-loop -- each continues the one before
      const answer = await new SlidingClient(front.client(me), dialect).sync({
        lists: { all: { ranges: [[0, 9]], limit: 5 } },
        connId: `c${(made += 1)}`,
      });
      timeline = (answer.rooms[room]?.["timeline"] ?? []) as MatrixEvent[];
    }
    expect(reader.ids()).toEqual([before]);
    expect(reader.ids()).not.toContain(redacted);
    expect(reader.ids()).not.toContain(ignored);
    expect((timeline.at(-1) as { unsigned?: Json } | undefined)?.unsigned).toMatchObject({
      msc4354_sticky_duration_ttl_ms: expect.any(Number) as unknown,
    });
  });
});

it("M71: kill -9 in mid-traffic: every sticky event comes, in order", { timeout: 240_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-sticky-"));
  const start = async () => {
    const command = runCommand(["-server", synapse.url, "-data", directory, "-port", "127.0.0.1:0", "-loglevel", "warn"]);
    return { command, url: (await command.line(/^ *listening +http/)).trim().split(/ +/)[1] ?? "" };
  };
  let running = await start();
  onTestFinished(async () => {
    running.command.signal("SIGTERM");
    await running.command.ended;
    await rm(directory, { recursive: true });
  });
  const { me, bob, room } = await scene();
  await me.join(room);
  const reader = new Reader(new SlidingClient(new V3Client(() => running.url, me.userId, me.deviceId, me.accessToken), "unstable"));
  await reader.next();
  const sent: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    // oxlint-disable no-await-in-loop -- in an order
    for (let n = 0; n < 5; n += 1) sent.push(await stick(bob, room));
    await reader.until(sent[round * 10] ?? "");
    running.command.signal("SIGKILL");
    await running.command.ended;
    for (let n = 0; n < 5; n += 1) sent.push(await stick(bob, room));
    for (let n = 0; n < 55; n += 1) await bob.send(room, `message ${n}`);
    running = await start();
    await reader.until(sent.at(-1) ?? "");
    // oxlint-enable no-await-in-loop
  }
  expect([...new Set(reader.ids())]).toEqual(sent);
});
