/** Paginated sync (MSC4525): pages of what changed. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PAGED_PATH } from "../../src/sliding/face/paged-request.ts";
import { ev, type Json, newRoom, type RoomParts, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { RoomRoutes } from "../support/rooms.ts";
import { anyOperation, joins, KINDS, type Operation, RandomWorld } from "../support/random-world.ts";
import { type Answer, type RoomAnswer, SlidingClient } from "../support/sliding.ts";
import { type Reply, type V3Client, v3Server } from "../support/v3.ts";
import { View } from "../support/view.ts";

const ADMIN = "@admin:test";
const FORMS = ["as the text has it", "with tuples"] as const;
type Form = (typeof FORMS)[number];
type Ask = { readonly size: number; readonly limit?: number; readonly history?: number; readonly more?: Json };
type Paged = Answer & { readonly pending: number; readonly total_rooms: number };

const t = v3Server({ paginatedSync: true });
const ROOMS = 4;
let count = 0;

class PagedClient {
  readonly client: V3Client;
  readonly form: Form;
  pos: string | undefined;

  constructor(client: V3Client, form: Form) {
    this.client = client;
    this.form = form;
    // What is documented is the form of the text.
    client.checksAnswers = form === "as the text has it";
  }

  post(body: Json): Promise<Reply> {
    return this.client.fetch("POST", PAGED_PATH, JSON.stringify(body));
  }

  /** The next page. */
  async page({ size, limit = 5, history = 1, more = {} }: Ask): Promise<Paged> {
    const state = this.form === "with tuples" ? { required_state: [["*", "*"]] } : { required_state: { include: [{}] } };
    const place = { ...(this.pos !== undefined && { pos: this.pos }), timeout: 0 };
    const reply = await this.post({ ...place, page_size: size, limit, history, ...state, ...more });
    const { pending, total_rooms } = reply.body as unknown as Partial<Paged> & Pick<Paged, "total_rooms">;
    const answer = new SlidingClient(this.client, this.form === "with tuples" ? "unstable" : "v4").read(reply);
    this.pos = answer.pos;
    return { ...answer, pending: pending ?? 0, total_rooms };
  }

  /** All pages until nothing is pending. */
  async drain(ask: Ask): Promise<Record<string, RoomAnswer[]>> {
    const all: Record<string, RoomAnswer[]> = {};
    for (let pending = 1; pending > 0;) {
      const page = await this.page(ask);
      for (const [id, room] of Object.entries(page.rooms)) (all[id] ??= []).push(room);
      pending = page.pending;
    }
    return all;
  }
}

function login(form: Form, first: V2Parts): PagedClient {
  count += 1;
  return new PagedClient(t.login(`@paged${count}:test`, "PHONE", v2(first)), form);
}

const roomId = (n: number) => `!${n}:test`;
/** Room n is the n-th most recently active from the end. */
const room = (n: number): RoomParts => ({
  state: newRoom(ADMIN),
  timeline: [ev.message(ADMIN, `in ${n}`, { origin_server_ts: 1000 + n })],
});
const rooms = (of: number): V2Parts => ({ join: Object.fromEntries(Array.from({ length: of }, (_, n) => [roomId(n), room(n)])) });
let clock = 100_000;
const says = (text: string): RoomParts => ({ timeline: [ev.message(ADMIN, text, { origin_server_ts: ++clock })] });
/** Something is said in each of the rooms, in this order. */
async function say(client: PagedClient, ids: readonly number[], text = "new"): Promise<void> {
  for (const n of ids) await t.deliver(client.client, v2({ join: { [roomId(n)]: says(text) } }));
}
type Message = { readonly event_id: string; readonly content: { readonly body: string } };
const timelineOf = (answer: RoomAnswer | undefined) => (answer?.["timeline"] ?? []) as Message[];
const bodies = (answer: RoomAnswer | undefined) => timelineOf(answer).map(({ content }) => content.body);
const names = (answer: Paged) => Object.keys(answer.rooms).toSorted();

describe.each(FORMS)("paginated sync, %s", (form) => {
  it("M106: a first answer has the most recently active rooms, the next ones the others, each once", async () => {
    const client = login(form, rooms(25));
    const first = await client.page({ size: 10 });
    expect([first.pending, first.total_rooms]).toEqual([15, 25]);
    expect(names(first)).toEqual(Array.from({ length: 10 }, (_, n) => roomId(15 + n)).toSorted());
    for (const one of Object.values(first.rooms))
      expect(one).toMatchObject({ initial: true, timeline: [{}], prev_batch: expect.any(String) as string });
    expect(Object.values(first.rooms)[0]).not.toHaveProperty("num_live");
    const others = await client.drain({ size: 10 });
    expect([...Object.keys(others), ...names(first)].toSorted()).toEqual(Array.from({ length: 25 }, (_, n) => roomId(n)).toSorted());
    expect(Object.values(others).every((sent) => sent.length === 1)).toBe(true);
    expect(await client.page({ size: 10 })).toMatchObject({ rooms: {}, pending: 0, total_rooms: 25 });
  });

  it("M106: a room that was sent gets its newest `limit` events and says where the gap is; `history` is for the others", async () => {
    const client = login(form, rooms(2));
    await client.page({ size: 10, history: 1 });
    const timeline = Array.from({ length: 8 }, (_, n) => ev.message(ADMIN, `burst ${n}`, { origin_server_ts: ++clock }));
    const joined: RoomParts = {
      state: newRoom(ADMIN),
      timeline: timeline.map((_, n) => ev.message(ADMIN, `joined ${n}`, { origin_server_ts: ++clock })),
    };
    await t.deliver(client.client, v2({ join: { [roomId(0)]: { timeline }, "!joined:test": joined } }));
    const page = await client.page({ size: 10, limit: 5, history: 2 });
    expect(bodies(page.rooms[roomId(0)])).toEqual([3, 4, 5, 6, 7].map((n) => `burst ${n}`));
    expect(page.rooms[roomId(0)]).toMatchObject({ limited: true, prev_batch: expect.any(String) as string });
    expect(page.rooms[roomId(0)]).not.toHaveProperty("initial");
    expect(bodies(page.rooms["!joined:test"])).toEqual(["joined 6", "joined 7"]);
    // A larger limit sends nothing again.
    expect((await client.page({ size: 10, limit: 50, history: 50 })).rooms).toEqual({});
  });

  it("M107: what does not fit into a page comes with the next ones", async () => {
    const client = login(form, rooms(6));
    await client.page({ size: 10 });
    await say(client, [0, 1, 2, 3, 4, 5]);
    const first = await client.page({ size: 2 });
    expect([names(first).length, first.pending]).toEqual([2, 4]);
    const others = await client.drain({ size: 2 });
    const all = { ...others, ...Object.fromEntries(Object.entries(first.rooms).map(([id, one]) => [id, [one]])) };
    for (let n = 0; n < 6; n += 1) expect(all[roomId(n)]?.map((one) => bodies(one))).toEqual([["new"]]);
  });

  it("M107: rooms that have waited longest have a part of each page, so that busy rooms do not hold them back", async () => {
    const client = login(form, rooms(4));
    await client.page({ size: 10 });
    await say(client, [0, 1, 2]);
    const first = await client.page({ size: 2 });
    expect([names(first), first.pending]).toEqual([[roomId(1), roomId(2)], 1]);
    await say(client, [1, 2, 3], "busy");
    const second = await client.page({ size: 2 });
    expect(names(second)).toEqual([roomId(0), roomId(3)]);
    expect(second.pending).toBe(2);
  });

  it("M107: while there is a backlog, rooms that were sent and stay busy do not hold back those that were not", async () => {
    const client = login(form, rooms(6));
    const seen = new Set<string>();
    for (let page = 0; page < 20 && seen.size < 6; page += 1) {
      for (const id of Object.keys((await client.page({ size: page % 2 === 0 ? 2 : 1 })).rooms)) seen.add(id);
      await say(
        client,
        [...seen].map((id) => Number(id.slice(1, 2))),
      );
    }
    expect(seen.size).toBe(6);
  });

  it("M108: a position that is unknown, of another device or no position at all begins from scratch", async () => {
    const client = login(form, rooms(3));
    await client.page({ size: 10 });
    const other = login(form, rooms(1));
    await other.page({ size: 10 });
    for (const pos of ["not a position", other.pos]) {
      client.pos = pos;
      const again = await client.page({ size: 10 });
      expect(names(again)).toEqual([0, 1, 2].map(roomId));
      expect(Object.values(again.rooms).every((one) => one["initial"] === true)).toBe(true);
    }
  });

  it("M108: the same position again gets the same page, whatever connection of the other paths has the name", async () => {
    const client = login(form, rooms(6));
    const more = { conn_id: "main" };
    const first = await client.page({ size: 3, more });
    const second = await client.page({ size: 3, more });
    await new SlidingClient(client.client, "v4").sync({ connId: "main", lists: { all: { ranges: [[0, 9]] } } });
    client.pos = first.pos;
    expect(names(await client.page({ size: 3, more }))).toEqual(names(second));
  });

  it("M106: extensions are about the rooms that the client has; their lists and rooms mean nothing", async () => {
    const client = login(form, rooms(2));
    const more = { extensions: { receipts: { enabled: true, lists: ["none"], rooms: [] }, account_data: { enabled: true } } };
    const first = await client.page({ size: 10, more });
    const newest = timelineOf(first.rooms[roomId(0)])[0]?.event_id;
    const read: RoomParts = { ephemeral: [{ type: "m.receipt", content: { [String(newest)]: { "m.read": { "@bob:test": { ts: 1 } } } } }] };
    await t.deliver(client.client, v2({ join: { [roomId(0)]: read }, account_data: [{ type: "m.test", content: {} }] }));
    const page = await client.page({ size: 10, more });
    expect(Object.keys(page.extensions["receipts"].rooms as object)).toEqual([roomId(0)]);
    expect(page.extensions["account_data"].global).toMatchObject([{ type: "m.test" }]);
  });

  it("M106: what a body must have is said", async () => {
    const client = login(form, rooms(1));
    const tuples = form === "with tuples" ? { required_state: [] } : {};
    for (const [body, field] of [
      [{ limit: 1 }, "page_size"],
      [{ page_size: 1 }, "limit"],
      [{ page_size: 0, limit: 1 }, "page_size"],
      [{ page_size: 1, limit: 1, set_presence: "busy" }, "set_presence"],
    ] as const) {
      const { status, text } = await client.post({ ...body, ...tuples });
      expect([status, text.includes(field)]).toEqual([400, true]);
    }
  });
});

const steps = fc.array(fc.record({ operations: fc.array(anyOperation(9, KINDS.rooms), { maxLength: 5 }), size: fc.nat(3), restart: fc.nat(9) }), {
  minLength: 3,
  maxLength: 12,
});

/** What a client knows of each room. */
const known = (view: View) =>
  new Map(
    [...view.rooms].map(([id, { membership, stateIds, fields, timeline }]) => [
      id,
      {
        membership,
        state: [...stateIds].toSorted(),
        name: fields["name"] ?? null,
        joined: fields["joined_count"],
        newest: timeline.at(-1)?.["event_id"],
      },
    ]),
  );
const isThere = ([, { membership }]: readonly [string, { membership: string }]) => ["join", "invite", "knock"].includes(membership);

it("M106 M107: a client that reads pages of any size, and then all that is pending, knows what one knows that has just begun", async () => {
  const follow = async (before: readonly Operation[], all: { operations: Operation[]; size: number; restart: number }[]): Promise<void> => {
    count += 1;
    const world = new RandomWorld(`@paged${count}:test`, ROOMS);
    const client = new PagedClient(t.login(world.me, "PHONE", world.respond([joins(0), joins(1), ...before])), "as the text has it");
    const routes = new RoomRoutes(t.hs);
    for (const one of world.rooms) {
      routes.members(one.id, () => one.members());
      routes.messages(one.id, { chunk: [], start: "p" });
    }
    const view = new View(world.me).applySliding(await client.page({ size: 1, limit: 3 }));
    for (const { operations, size, restart } of all) {
      await t.deliver(client.client, world.respond(operations));
      if (restart === 0) await t.restart();
      if (size > 0) view.applySliding(await client.page({ size, limit: 3 }));
    }
    for (let pending = 1; pending > 0;) {
      const page = await client.page({ size: 2, limit: 3 });
      view.applySliding(page);
      pending = page.pending;
    }
    const fresh = new PagedClient(client.client, "as the text has it");
    const expected = new View(world.me).applySliding(await fresh.page({ size: 100, limit: 3, history: 1, more: { conn_id: "fresh" } }));
    expect([...known(view)].filter(isThere).toSorted()).toEqual([...known(expected)].filter(isThere).toSorted());
  };
  await fc.assert(fc.asyncProperty(fc.array(anyOperation(9, KINDS.rooms), { maxLength: 6 }), steps, follow), { numRuns: 15 });
});
