/** Somebody is no longer ignored (T2): what the homeserver withheld of that user comes, then everybody begins from scratch. */

import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, toDevice, v2 } from "./support/fake-homeserver.ts";
import { FakeRoom } from "./support/fake-room.ts";
import { refuse, stopRefusing } from "./support/refusing.ts";
import { APIS, type Api } from "./support/room-follower.ts";
import { followTimeline } from "./support/room-timeline.ts";
import { DIALECTS, SlidingClient, STICKY_EVENTS, timelineIds } from "./support/sliding.ts";
import { v3Server, type V3Client } from "./support/v3.ts";

const [BOB, CAROL, EVE] = ["@bob:test", "@carol:test", "@eve:test"] as const;
const FAST = { unignoredMs: 20, rereadMs: 50 };
const t = v3Server({ supervision: FAST, workers: 1 });

const ignoring = (...users: string[]): Json => ({
  type: "m.ignored_user_list",
  content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) },
});
const listed = (...users: string[]) => v2({ account_data: [ignoring(...users)] });

let count = 0;
/** A user in a room with Bob and Carol, as the homeserver shows it to them who ignore Bob. */
class World {
  readonly me: string;
  readonly client: V3Client;
  readonly room: FakeRoom;
  readonly #server: typeof t;

  constructor(server = t, ignored: readonly string[] = [BOB]) {
    count += 1;
    this.#server = server;
    this.me = `@user${count}:test`;
    this.room = new FakeRoom(server.hs, `!room${count}:test`, [...newRoom(this.me), ev.member(BOB), ev.member(CAROL), ev.message(CAROL, "first")]);
    for (const user of ignored) this.room.hidden.add(user);
    this.client = server.login(
      this.me,
      "PHONE",
      v2({ join: { [this.room.id]: { timeline: this.room.shown() } }, account_data: [ignoring(...ignored)] }),
    );
  }

  /** It happens, and polls bring it unless its sender is hidden. */
  async happen(...events: MatrixEvent[]): Promise<void> {
    for (const event of events) {
      this.room.events.push(event);
      const isHidden = event.state_key === undefined && this.room.hidden.has(event.sender);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      if (!isHidden) await this.#server.deliver(this.client, v2({ join: { [this.room.id]: { timeline: [event] } } }));
    }
  }

  /** From now on only those are ignored. */
  async ignore(...users: string[]): Promise<void> {
    this.room.hidden.clear();
    for (const user of users) this.room.hidden.add(user);
    await this.#server.deliver(this.client, listed(...users));
  }

  /** The room's timeline from scratch. */
  async fresh(api: Api) {
    const piece = await followTimeline(this.client, api, this.room.id, `fresh${(count += 1)}`)();
    return { ids: piece?.events.map((event) => event.event_id), limited: piece?.limited, prevBatch: piece?.prevBatch };
  }

  readonly ids = () => this.room.shown().map((event) => event.event_id);

  /** A session of sync v3 that goes on. */
  async live() {
    let { next } = await this.client.sync({ to_device: {}, room: { room_id: this.room.id } });
    return async (timeout = 0) => {
      const reply = await this.client.request({}, { since: next, timeout });
      if (reply.status === 200) next = reply.body.next;
      return reply;
    };
  }
}

/** Resolves when the account's sessions have ended. */
async function restarted({ userId }: V3Client, server = t): Promise<void> {
  const sessions = () => server.sql`select from sessions join accounts using (account) where user_id = ${userId} and kind in ('v3', 'connection')`;
  await expect.poll(sessions, { timeout: 20_000 }).toEqual([]);
}

describe("T2: the messages of somebody who is no longer ignored", () => {
  it.each(APIS)("T2: %s: come to who begins from scratch, in their places", async (api) => {
    const w = new World();
    await w.fresh(api);
    await w.happen(ev.message(BOB), ev.message(CAROL), ev.message(BOB), ev.message(BOB), ev.topic(CAROL, "news"), ev.message(BOB));
    expect((await w.fresh(api)).ids).toEqual(w.ids());
    await w.ignore();
    await restarted(w.client);
    const fresh = await w.fresh(api);
    expect(fresh).toMatchObject({ ids: w.ids(), limited: false });
    expect(fresh.ids).toHaveLength(13);
    // What comes next follows.
    await w.happen(ev.message(BOB), ev.message(CAROL));
    expect(await w.fresh(api)).toMatchObject({ ids: w.ids(), limited: false });
  });

  it.each(DIALECTS)("T2 M73: %s: sticky events among them are sent as new ones", async (dialect) => {
    const w = new World();
    const phone = new SlidingClient(w.client, dialect);
    const ask = (since?: string) => ({ lists: { all: { ranges: [[0, 0]] as const, limit: 0 } }, ext: { [STICKY_EVENTS]: { enabled: true, since } } });
    const [before, withheld] = [ev.sticky(CAROL), ev.sticky(BOB)];
    await phone.sync();
    await w.happen(withheld, before);
    const first = (await phone.sync(ask())).extensions[STICKY_EVENTS] as { next_batch: string };
    expect(JSON.stringify(first)).not.toContain(withheld.event_id);
    await w.ignore();
    await restarted(w.client);
    const { rooms } = (await phone.sync(ask(first.next_batch))).extensions[STICKY_EVENTS] as { rooms: Record<string, { events: MatrixEvent[] }> };
    expect(rooms[w.room.id]?.events.map((event) => event.event_id)).toEqual([withheld.event_id]);
  });

  it("T2: sessions go on until those are stored, then get R11", async () => {
    const w = new World();
    const step = await w.live();
    await w.happen(ev.message(BOB));
    const release = w.room.hold();
    await w.ignore();
    await w.room.asked();
    await t.deliver(w.client, v2({ to_device: [toDevice(CAROL, { n: 1 })], join: { "!other:test": { timeline: newRoom(w.me) } } }));
    const { status, body } = await step();
    expect([status, body["to_device"].events]).toEqual([200, [toDevice(CAROL, { n: 1 })]]);
    const after = ev.message(CAROL);
    await w.happen(after);
    expect(JSON.stringify((await step()).body)).toContain(after.event_id);
    const waiting = step(60_000);
    release();
    expect(await waiting).toMatchObject({ status: 400, body: { errcode: "M_UNKNOWN_SYNC_SESSION" } });
    expect((await w.fresh("v3")).ids).toEqual(w.ids());
  });

  it("T2: the state before each event stays what it was", async () => {
    const w = new World();
    await w.fresh("v3");
    await w.happen(ev.message(BOB), ev.topic(CAROL, "one"), ev.message(BOB), ev.topic(CAROL, "two"), ev.member(CAROL, "join", { displayname: "C" }));
    await w.ignore();
    await restarted(w.client);
    const asked = { room: { room_id: w.room.id, timeline_limit: 2 } };
    const { state, timeline } = (await w.client.sync(asked))["room"].rooms[w.room.id];
    expect(timeline.events.map((event: Json) => event["type"])).toEqual(["m.room.topic", "m.room.member"]);
    expect(state.events.find((event: Json) => event["type"] === "m.room.topic").content).toEqual({ topic: "one" });
    const sliding = await new SlidingClient(w.client, "v4").sync({ lists: { all: { ranges: [[0, 0]], state: [["m.room.topic", ""]], limit: 1 } } });
    expect(sliding.rooms[w.room.id]?.["required_state"]).toMatchObject([{ content: { topic: "two" } }]);
  });

  it("T2: a member that polls did not bring comes with them", async () => {
    const w = new World();
    await w.fresh("v3");
    const lazily = ev.member(EVE, "join", { displayname: "Eve" });
    w.room.events.push(lazily);
    await w.ignore(EVE);
    await restarted(w.client);
    const message = ev.message(EVE);
    await w.happen(ev.message(CAROL), message);
    await w.fresh("v3");
    await w.ignore();
    await restarted(w.client);
    const state: [string, string][] = [["m.room.member", "$LAZY"]];
    const first = await new SlidingClient(w.client, "unstable").sync({ lists: { all: { ranges: [[0, 0]], state, limit: 2 } } });
    expect(JSON.stringify(first.rooms[w.room.id]?.["required_state"])).toContain(lazily.event_id);
  });

  it.each(APIS)("T2: %s: of more than a page come the newest, and the others by prev_batch", async (api) => {
    const w = new World();
    await w.fresh(api);
    await w.happen(ev.message(CAROL), ...Array.from({ length: 110 }, () => ev.message(BOB)));
    await w.ignore();
    await restarted(w.client);
    expect(await w.fresh(api)).toEqual({ ids: w.ids().slice(-100), limited: true, prevBatch: `t${w.ids().length - 100}` });
  });

  it("T2: what the user redacted is redacted, and the room is where its newest message belongs", async () => {
    const w = new World();
    const bad = ev.message(CAROL, "to be redacted");
    await w.fresh("v3");
    await w.happen(bad);
    const newer = (room: string, minutes: number) => {
      const events = newRoom(w.me).map((event) => ({ ...event, origin_server_ts: bad.origin_server_ts + minutes * 60_000 }));
      return t.deliver(w.client, v2({ join: { [room]: { timeline: events } } }));
    };
    await newer("!older-than-it:test", 1);
    await newer("!newer-than-it:test", 3);
    const redaction = ev.redaction(BOB, bad.event_id, { origin_server_ts: bad.origin_server_ts + 100_000 });
    await w.happen(redaction, ev.message(BOB, "newest", { origin_server_ts: bad.origin_server_ts + 120_000 }));
    w.room.events[w.room.events.indexOf(bad)] = { ...bad, content: {}, unsigned: { redacted_because: redaction } };
    await w.ignore();
    await restarted(w.client);
    for (const dialect of DIALECTS) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { rooms } = await new SlidingClient(w.client, dialect).sync({ lists: { all: { ranges: [[0, 9]], limit: 20 } } });
      const stamps = Object.entries(rooms).map(([room, { bump_stamp }]) => [room, Number(bump_stamp)] as const);
      const ordered = stamps.toSorted(([, a], [, b]) => b - a).map(([room]) => room);
      expect(ordered).toEqual(["!newer-than-it:test", w.room.id, "!older-than-it:test"]);
      expect(timelineIds(rooms[w.room.id])).toEqual(w.ids());
    }
    expect(JSON.stringify(await w.client.sync({ room: { room_id: w.room.id } }))).not.toContain("to be redacted");
  });

  it("T2: rooms where the user never was are not read", async () => {
    const w = new World();
    const other = new FakeRoom(t.hs, `${w.room.id}-other`, [...newRoom(w.me), ev.message(CAROL)]);
    await w.fresh("v3");
    await t.deliver(w.client, v2({ join: { [other.id]: { timeline: other.events } } }));
    await w.happen(ev.message(BOB));
    await w.ignore();
    await restarted(w.client);
    expect([w.room.reads, other.reads]).toEqual([1, 0]);
  });

  it("T2: nothing comes of who is ignored again meanwhile, and sessions go on", async () => {
    const w = new World();
    const step = await w.live();
    const message = ev.message(BOB);
    await w.happen(message);
    const release = w.room.hold();
    await w.ignore();
    await w.room.asked();
    await w.ignore(BOB);
    release();
    await expect.poll(() => t.sql`select from unignored_users`).toEqual([]);
    await w.happen(ev.message(CAROL));
    const { status, text } = await step();
    expect([status, text.includes(message.event_id)]).toEqual([200, false]);
    for (const api of APIS) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await w.fresh(api)).ids).toEqual(w.ids());
    }
  });

  it("T2: only those of users who are no longer ignored", async () => {
    const w = new World(t, [BOB, EVE]);
    await w.fresh("v3");
    await w.happen(ev.member(EVE), ev.message(BOB), ev.message(EVE));
    await w.ignore(EVE);
    await restarted(w.client);
    for (const api of APIS) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await w.fresh(api)).ids).toEqual(w.ids());
    }
  });

  it("T2: another process goes on where the first one ended in between", async () => {
    const w = new World();
    await w.fresh("unstable");
    await w.happen(ev.message(BOB), ev.message(CAROL));
    w.room.hold();
    await w.ignore();
    await w.room.asked();
    await t.stopServer();
    expect(await t.sql`select from unignored_users`).toHaveLength(1);
    w.room.release();
    await t.start();
    await restarted(w.client);
    expect((await w.fresh("unstable")).ids).toEqual(w.ids());
    expect(await t.sql`select from unignored_users`).toHaveLength(0);
  });
});

describe("T2: the invites of somebody who is no longer ignored", () => {
  const ROOM = "!invited:test";
  const stripped = (me: string, sender: string) => [ev.member(sender), ev.member(me, "invite", {}, { sender })];

  /** The homeserver's answer without `since`, which is always the first one, has an invite that polls do not have. */
  async function invited(sender: string, ...ignored: string[]): Promise<V3Client> {
    const me = `@invited${(count += 1)}:test`;
    const client = t.login(me, "PHONE", v2({ invite: { [ROOM]: stripped(me, sender) }, account_data: [ignoring(...ignored)] }));
    await client.sync({ invites: {} });
    await t.deliver(client, v2({ leave: { [ROOM]: { timeline: [ev.member(me, "leave")] } } }));
    return client;
  }

  it.each(DIALECTS)("T2: %s: come to who begins from scratch", async (dialect) => {
    const client = await invited(BOB, BOB);
    await t.deliver(client, listed());
    await restarted(client);
    const { rooms } = await new SlidingClient(client, dialect).sync({ lists: { all: { ranges: [[0, 9]] } } });
    expect(Object.keys(rooms)).toEqual([ROOM]);
  });

  it("T2: where the question fails it is asked again, before sessions end", async () => {
    const client = await invited(BOB, BOB);
    t.hs.fail({ path: "/sync", token: client.token, where: ({ query }) => !query.has("since") }, { status: 503, body: {} });
    const account = () => t.sql`select from accounts where user_id = ${client.userId} and invites_asked_at is null and invites_due_at > now()`;
    const { next } = await client.sync({ invites: {} });
    await t.deliver(client, listed());
    await expect.poll(account).toHaveLength(1);
    expect((await client.request({}, { since: next })).status).toBe(200);
    await t.sql`update accounts set invites_due_at = now() where user_id = ${client.userId}`;
    await restarted(client);
    expect(Object.keys((await client.sync({ invites: {} }))["invites"].rooms)).toEqual([ROOM]);
  });

  it("T2: sync v3: they come, and several un-ignorings share one sync without since", async () => {
    const client = await invited(BOB, BOB, EVE);
    const questions = () => t.hs.polls(client.token).filter(({ query }) => !query.has("since"));
    const before = questions().length;
    await t.deliver(client, listed(EVE));
    await restarted(client);
    const session = await client.sync({ invites: {} });
    expect(Object.keys(session["invites"].rooms)).toEqual([ROOM]);
    // Within an hour there is no other one; sessions end all the same.
    await t.deliver(client, listed());
    await restarted(client);
    expect(questions()).toHaveLength(before + 1);
    await t.sql`update accounts set invites_due_at = now() where user_id = ${client.userId}`;
    await expect.poll(() => questions().length).toBe(before + 2);
    expect(JSON.parse(questions().at(-1)?.query.get("filter") ?? "")).toMatchObject({
      room: { timeline: { not_types: ["*"] }, state: { not_types: ["*"] } },
    });
  });
});

describe("T2: where the homeserver cannot", () => {
  const hurried = v3Server({ supervision: { ...FAST, freshStartMs: 1500 }, workers: 1 });

  it.each(APIS)("T2: %s: sessions end in time, rooms have a gap, and are read later", async (api) => {
    const w = new World(hurried);
    await w.fresh(api);
    await w.happen(ev.message(BOB), ev.message(CAROL), ev.message(BOB));
    const { path } = w.room;
    hurried.hs.fail({ path }, { status: 503, body: {} }, Infinity);
    await w.ignore();
    await restarted(w.client, hurried);
    const step = followTimeline(w.client, api, w.room.id, "live");
    const gap = await step();
    // `s…`: from there /messages has everything.
    expect([gap?.events.map((event) => event.event_id), gap?.limited, gap?.prevBatch]).toEqual([[w.ids().at(-2)], true, "s3"]);
    hurried.hs.heal();
    await hurried.sql`update rereads set due_at = now()`;
    await expect.poll(() => hurried.sql`select from rereads`).toEqual([]);
    const next = await step(20_000);
    expect([next?.events.map((event) => event.event_id), next?.limited]).toEqual([w.ids(), true]);
    await w.happen(ev.message(CAROL));
    expect((await w.fresh(api)).ids).toEqual(w.ids());
  });

  it("T2: a message that cannot be stored stops nothing", async () => {
    const w = new World(hurried);
    await w.fresh("v3");
    const bad = ev.message(BOB);
    await w.happen(ev.message(BOB), ev.message(CAROL), bad);
    await refuse(hurried.sql, { table: "timeline", when: `new.event_id = '${bad.event_id}'`, code: "22P05" });
    try {
      await w.ignore();
      await restarted(w.client, hurried);
      expect(await w.fresh("v3")).toMatchObject({ ids: [w.ids().at(-2)], limited: true });
    } finally {
      await stopRefusing(hurried.sql);
    }
    await hurried.sql`update rereads set due_at = now()`;
    await expect.poll(() => hurried.sql`select from rereads`).toEqual([]);
    expect((await w.fresh("v3")).ids).toEqual(w.ids());
  });

  it("T2: sessions end in time where the homeserver does not answer", async () => {
    const w = new World(hurried);
    await w.fresh("v3");
    await w.happen(ev.message(BOB));
    const release = w.room.hold();
    await w.ignore();
    await restarted(w.client, hurried);
    expect(await w.fresh("v3")).toMatchObject({ limited: true });
    release();
  });
});
