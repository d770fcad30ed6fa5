/** What belongs to one account is never sent to another, whatever of the other's is named: tokens, pages, rooms, sessions. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, toDevice, v2 } from "../support/fake-homeserver.ts";
import { serveMembers } from "../support/scene.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";
const bit = fc.nat({ max: 1 });
/** Who asks, and whose things are named: the user's own, or the other's. */
const step = fc.record({
  user: bit,
  theirs: fc.boolean(),
  stolenToken: fc.boolean(),
  stolenPage: fc.boolean(),
  pick: fc.nat({ max: 30 }),
  what: fc.constantFrom("room", "members", "list", "account data", "receipts", "typing", "queue", "sessions", "end a session"),
});

class World {
  static #count = 0;
  readonly #number = (World.#count += 1);
  readonly clients: V3Client[] = [];
  readonly rooms = [0, 1].map((user) => `!iso${this.#number}u${user}:test`);
  readonly tokens: string[][] = [[], []];
  readonly pages: string[][] = [[], []];
  readonly sessions: string[][] = [[], []];
  readonly seen = { own: 0, refused: 0 };

  /** What only this user may read. */
  secret = (user: number) => `secret-of-${this.#number}-${user}`;

  static async make(): Promise<World> {
    const world = new World();
    for (const user of [0, 1]) {
      const [me, room, secret] = [`@iso${world.#number}u${user}:test`, world.rooms[user] ?? "", world.secret(user)];
      const members = [ev.member(`@a-${secret}:test`), ev.member(`@b-${secret}:test`), ev.member(me)];
      serveMembers(t, room, members);
      const client = t.login(
        me,
        "PHONE",
        v2({
          join: {
            [room]: {
              state: [...newRoom(me), ev.name(me, secret), ...members],
              timeline: [ev.message(me, secret)],
              account_data: [{ type: "x", content: { secret } }],
              ephemeral: [receipt("$x", `@a-${secret}:test`)],
            },
          },
          account_data: [{ type: "y", content: { secret } }],
          to_device: [toDevice("@x:test", { secret })],
        }),
      );
      world.clients.push(client);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await client.sync({});
    }
    return world;
  }

  async take({ user, theirs, stolenToken, stolenPage, pick, what }: typeof step extends fc.Arbitrary<infer Step> ? Step : never): Promise<void> {
    const other = 1 - user;
    const client = this.clients[user] as V3Client;
    const whose = theirs ? other : user;
    const of = (list: readonly string[]) => (list.length === 0 ? undefined : list[pick % list.length]);
    const since = of(this.tokens[stolenToken ? other : user] ?? []);
    const page = of(this.pages[stolenPage ? other : user] ?? []);
    const room = this.rooms[whose] ?? "";
    const bodies: Readonly<Record<string, Json>> = {
      room: { room: { room_id: room, timeline_limit: 10 } },
      members: { room_members: { room_id: room, p: { limit: 1, ...(page !== undefined && since !== undefined && { since: page }) } } },
      list: { room_list: { spaces: [room], timeline_limit: 5, p: { limit: 1, ...(page !== undefined && since !== undefined && { since: page }) } } },
      "account data": { account_data: { rooms: [room] } },
      receipts: { receipts: { room_id: room } },
      typing: { typing: { room_id: room } },
      queue: { to_device: {}, e2ee: {} },
    };
    const body = bodies[what];
    const reply =
      what === "sessions"
        ? await client.fetch("GET", SESSIONS)
        : body
          ? await client.request(body, { since })
          : await client.fetch("DELETE", `${SESSIONS}/${of(this.sessions[whose] ?? []) ?? "1"}`);
    assert(reply.status < 500);
    assert(!reply.text.includes(this.secret(other)), JSON.stringify({ user, theirs, stolenToken, stolenPage, what, reply: reply.text }));
    if (reply.text.includes(this.secret(user))) this.seen.own += 1;
    if (stolenToken && since !== undefined && body) {
      assert.deepEqual([reply.status, reply.body["errcode"]], [400, "M_UNKNOWN_SYNC_SESSION"]);
      this.seen.refused += 1;
    }
    if (what === "end a session" && theirs) assert.equal(reply.status, 404);
    if (reply.status !== 200) return;
    if (what === "sessions") {
      const ids = (reply.body["sessions"] as { id: string }[]).map(({ id }) => id);
      assert.deepEqual(
        ids.filter((id) => this.sessions[other]?.includes(id)),
        [],
      );
      this.sessions[user] = ids;
    }
    if (reply.body.next) this.tokens[user]?.push(reply.body.next);
    for (const stream of ["room_members", "room_list"]) {
      const next: unknown = reply.body[stream]?.p?.next;
      if (typeof next === "string") this.pages[user]?.push(next);
    }
  }
}

it(
  "I7 R11 D20: neither of two users receives the other's data or can end the other's sessions, whatever ids they name",
  { timeout: 120_000 },
  async () => {
    const seen = { own: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        const world = await World.make();
        for (const one of steps) {
          // oxlint-disable-next-line no-await-in-loop -- one after the other
          await world.take(one);
        }
        seen.own += world.seen.own;
        seen.refused += world.seen.refused;
      }),
      { numRuns: 25 },
    );
    expect(seen.own).toBeGreaterThan(20);
    expect(seen.refused).toBeGreaterThan(20);
  },
);
