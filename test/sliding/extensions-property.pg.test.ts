/** Whatever a client asks for, in any order and with answers lost, its extensions end up with what the homeserver sent. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, typing, v2 } from "../support/fake-homeserver.ts";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server();

const ROOMS = 4;
const EXTENSIONS = ["account_data", "receipts", "typing", "e2ee", "presence"] as const;

type Step =
  | {
      readonly kind: "news";
      readonly room: number;
      readonly what: "tag" | "global" | "receipt" | "own receipt" | "typing" | "message" | "device list" | "membership" | "presence";
      readonly user: number;
    }
  | {
      readonly kind: "sync";
      /** The last room of the window; null: there is no list. */
      readonly window: number | null;
      readonly sub: number | null;
      readonly enabled: readonly (typeof EXTENSIONS)[number][];
      readonly scope: "all" | "lists" | "none";
      /** The answer never reaches the client. */
      readonly lost: boolean;
    }
  | { readonly kind: "restart" };
const room = fc.nat({ max: ROOMS - 1 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        kind: fc.constant("news" as const),
        room,
        what: fc.constantFrom("tag", "global", "receipt", "own receipt", "typing", "message", "device list", "membership", "presence"),
        user: fc.nat({ max: 2 }),
      }),
    },
    {
      weight: 12,
      arbitrary: fc.record({
        kind: fc.constant("sync" as const),
        window: fc.option(room, { freq: 4 }),
        sub: fc.option(room, { freq: 1 }),
        enabled: fc.subarray([...EXTENSIONS]),
        scope: fc.constantFrom("all", "all", "lists", "none"),
        lost: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  ),
  { minLength: 10, maxLength: 50 },
);

let runs = 0;

/** What the homeserver has sent, and what the client has received. */
class Run {
  readonly #phone: SlidingClient;
  readonly #client: V3Client;
  readonly #rooms: readonly string[];
  readonly #truth = new Map<string, unknown>();
  readonly #heard = new Map<string, unknown>();
  /** Others' receipts that came before the room was ever sent, or sent since it was joined again: the client may lack some of them. */
  readonly #early = new Set<string>();
  readonly #sent = new Set<string>();
  readonly #left = new Set<string>();
  /** `fresh`: since the client's position, while the extension was never enabled. */
  readonly #listed = { due: new Set<string>(), fresh: new Set<string>(), heard: new Set<string>(), on: false };
  #pos: string | undefined;
  #count = 0;

  constructor(client: V3Client, dialect: DialectName, rooms: readonly string[]) {
    this.#client = client;
    this.#phone = new SlidingClient(client, dialect);
    this.#rooms = rooms;
  }

  static async make(dialect: DialectName): Promise<Run> {
    runs += 1;
    const me = `@ext${runs}:test`;
    const rooms = Array.from({ length: ROOMS }, (_, i) => `!ext${runs}r${i}:test`);
    const client = t.login(me, "PHONE", v2({ join: Object.fromEntries(rooms.map((one) => [one, { state: newRoom(me) }])) }));
    const run = new Run(client, dialect, rooms);
    await run.#phone.sync({ connId: "setup" });
    await t.hs.waitForPoll(client.token);
    return run;
  }

  async news({ room: index, what, user: number }: Step & { kind: "news" }): Promise<void> {
    const n = ++this.#count;
    const roomId = this.#rooms[index] ?? "";
    const user = `@u${number}:test`;
    const part = (of: Json) => v2({ join: { [roomId]: of } });
    if (what === "membership") return this.#toggle(roomId);
    if (what === "presence") {
      this.#truth.set(`presence ${user}`, n);
      return t.deliver(this.#client, v2({ presence: [{ type: "m.presence", sender: user, content: { n } }] }));
    }
    if (this.#left.has(roomId)) return undefined;
    if (what === "message") return t.deliver(this.#client, part({ timeline: [ev.message(user)] }));
    if (what === "device list") {
      this.#listed[this.#listed.on ? "due" : "fresh"].add(`@d${n}:test`);
      return t.deliver(this.#client, v2({ device_lists: { changed: [`@d${n}:test`] } }));
    }
    if (what === "global") {
      this.#truth.set("global x", n);
      return t.deliver(this.#client, v2({ account_data: [{ type: "x", content: { n } }] }));
    }
    if (what === "tag") {
      this.#truth.set(`${roomId} tag`, n);
      return t.deliver(this.#client, part({ account_data: [{ type: "m.tag", content: { n } }] }));
    }
    if (what === "typing") {
      const users = n % 3 === 0 ? [] : [user, `@n${n}:test`];
      this.#truth.set(`${roomId} typing`, JSON.stringify(users));
      return t.deliver(this.#client, part({ ephemeral: [typing(...users)] }));
    }
    const reader = what === "own receipt" ? this.#client.userId : user;
    const key = `${roomId} receipt ${reader}`;
    this.#truth.set(key, `$r${n}`);
    if (this.#sent.has(roomId) || what === "own receipt") this.#early.delete(key);
    else this.#early.add(key);
    return t.deliver(this.#client, part({ ephemeral: [receipt(`$r${n}`, reader)] }));
  }

  /** Leaves the room, or joins it again: then it enters the scope of receipts for the first time. */
  async #toggle(roomId: string): Promise<void> {
    const me = this.#client.userId;
    if (this.#left.delete(roomId)) return t.deliver(this.#client, v2({ join: { [roomId]: { timeline: [ev.member(me)] } } }));
    this.#left.add(roomId);
    this.#sent.delete(roomId);
    this.#truth.delete(`${roomId} typing`);
    const own = `${roomId} receipt ${me}`;
    for (const key of this.#truth.keys()) if (key.startsWith(`${roomId} receipt`) && key !== own) this.#early.add(key);
    return t.deliver(this.#client, v2({ leave: { [roomId]: { timeline: [ev.member(me, "leave")] } } }));
  }

  async sync({ window, sub, enabled, scope, lost }: Omit<Step & { kind: "sync" }, "kind">): Promise<void> {
    const scopes = { all: {}, lists: { rooms: [] }, none: { rooms: [], lists: [] } };
    const ask: Ask = {
      ...(window !== null && { lists: { l: { ranges: [[0, window]], limit: 1 } } }),
      ...(sub !== null && { subs: { [this.#rooms[sub] ?? ""]: { limit: 1 } } }),
      ext: Object.fromEntries(enabled.map((name) => [name, { enabled: true, ...scopes[scope] }])),
    };
    const answer = await this.#phone.sync(ask, { pos: this.#pos });
    if (lost) return;
    const enabling = enabled.includes("e2ee") && !this.#listed.on;
    if (enabling && this.#pos !== undefined) for (const one of this.#listed.fresh) this.#listed.due.add(one);
    this.#listed.fresh.clear();
    this.#listed.on ||= enabling;
    this.#pos = answer.pos;
    this.#hear(answer);
    // From now on all receipts of the rooms that were in scope must arrive.
    if (enabled.includes("receipts") && scope === "all" && window === ROOMS - 1) {
      for (const one of this.#rooms) if (!this.#left.has(one)) this.#sent.add(one);
    }
  }

  #hear({ extensions }: Answer): void {
    const { account_data, receipts, typing: sets, e2ee, presence } = extensions;
    for (const { sender, content } of (presence?.events ?? []) as { sender: string; content: { n: number } }[]) {
      this.#heard.set(`presence ${sender}`, content.n);
    }
    for (const { content } of (account_data?.global ?? []) as { content: { n: number } }[]) this.#heard.set("global x", content.n);
    for (const [roomId, events] of Object.entries((account_data?.rooms ?? {}) as Record<string, { content: { n: number } }[]>)) {
      for (const { content } of events) this.#heard.set(`${roomId} tag`, content.n);
    }
    for (const [roomId, { content }] of Object.entries((sets?.rooms ?? {}) as Record<string, { content: { user_ids: string[] } }>)) {
      this.#heard.set(`${roomId} typing`, JSON.stringify(content.user_ids));
    }
    for (const [roomId, { content }] of Object.entries((receipts?.rooms ?? {}) as Record<string, { content: Record<string, { "m.read": Json }> }>)) {
      for (const [event, kinds] of Object.entries(content))
        for (const user of Object.keys(kinds["m.read"])) this.#heard.set(`${roomId} receipt ${user}`, event);
    }
    for (const user of (e2ee?.device_lists?.changed ?? []) as string[]) this.#listed.heard.add(user);
  }

  /** What is stored is sent once the homeserver was asked for what nobody polled for. */
  async #hearPresence(): Promise<void> {
    const misses = () => [...this.#truth].some(([key, value]) => key.startsWith("presence") && this.#heard.get(key) !== value);
    while (misses()) {
      // oxlint-disable-next-line no-await-in-loop -- each goes on where the last one ended
      const answer = await this.#phone.sync({ ext: { presence: { enabled: true } } }, { pos: this.#pos, timeout: 30_000 });
      this.#pos = answer.pos;
      this.#hear(answer);
    }
  }

  /** Asks for everything; then the client must have the complete data. */
  async check(): Promise<void> {
    for (const one of this.#left) await this.#toggle(one);
    await this.sync({ window: ROOMS - 1, sub: null, enabled: EXTENSIONS, scope: "all", lost: false });
    await this.#hearPresence();
    for (const [key, value] of this.#truth) {
      const heard = this.#heard.get(key);
      // An empty typing set need not be sent to a client that knows of nobody typing.
      if (heard === undefined && (value === "[]" || this.#early.has(key))) continue;
      if (this.#early.has(key)) continue;
      assert.deepEqual(heard, value, key);
    }
    for (const user of this.#listed.due) assert.ok(this.#listed.heard.has(user), `the devices of ${user}`);
    const again = await this.#phone.sync({}, { pos: this.#pos });
    assert.deepEqual(again.rooms, {});
  }
}

describe.each(DIALECTS)("extensions together (%s)", (dialect) => {
  it("M49 M50 M51 M48 M75 M3 M23 M45: what was out of the window, out of scope or disabled, in a room that was left and joined again, and what was lost, is sent in the end", async () => {
    let count = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const run = await Run.make(dialect);
        for (const step of all) {
          // In order: each step depends on those before.
          // oxlint-disable-next-line no-await-in-loop
          await (step.kind === "news" ? run.news(step) : step.kind === "sync" ? run.sync(step) : t.restart());
        }
        await run.check();
        count += 1;
      }),
      { numRuns: 9 },
    );
    expect(count).toBeGreaterThanOrEqual(9);
  }, 180_000);
});
