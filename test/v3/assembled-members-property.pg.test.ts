import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { RoomRoutes } from "../support/rooms.ts";
import { type Answer, startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

/** A client that assembles a room's members from pages and deltas ends up with the homeserver's list. */

const ADMIN = "@admin:test";
let t: V3Fixture;
let routes: RoomRoutes;
let count = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

type What = "join" | "leave" | "invite" | "rename" | "redact" | "message" | "unseen join" | "unseen leave" | "out" | "in";
type Op = { readonly who: number; readonly what: What; readonly lazy: boolean };
const op = fc.record({
  who: fc.nat(5),
  what: fc.constantFrom<What>("join", "join", "leave", "invite", "rename", "redact", "message", "unseen join", "unseen leave", "out", "in"),
  lazy: fc.boolean(),
});
const step = fc.record({ op, asks: fc.constantFrom("sync", "sync", "page", "nothing") });

const isPresent = (event: MatrixEvent) => ["join", "invite"].includes(String(event.content["membership"]));

/** The homeserver's side: all members of the room, also those that v2 never sent. */
class World {
  readonly members = new Map<string, MatrixEvent>();
  inside = true;
  readonly #id: string;
  readonly #me: string;
  constructor(id: string, me: string) {
    this.#id = id;
    this.#me = me;
    for (const user of [ADMIN, me, "@u0:test", "@u1:test", "@u2:test"]) this.members.set(user, ev.member(user));
  }

  state(): MatrixEvent[] {
    return newRoom(ADMIN).filter((event) => event.type !== "m.room.member");
  }

  happens({ who, what, lazy }: Op): Json | null {
    const user = `@u${who}:test`;
    const put = (event: MatrixEvent) => {
      this.members.set(String(event.state_key), event);
      return event;
    };
    const join = (...timeline: MatrixEvent[]) => v2({ join: { [this.#id]: { timeline } } });
    const gap = () => v2({ join: { [this.#id]: { limited: true, prev_batch: "p", timeline: [ev.message(ADMIN)] } } });
    if (what === "in") {
      if (this.inside) return null;
      this.inside = true;
      const own = put(ev.member(this.#me));
      const known = lazy ? [] : [...this.members.values()].filter((event) => event !== own);
      return v2({ join: { [this.#id]: { state: [...this.state(), ...known], timeline: [own], limited: lazy, prev_batch: "p" } } });
    }
    const unseen = () => put(ev.member(user, what === "unseen join" ? "join" : "leave"));
    if (!this.inside) {
      // What happens while the user is not in the room is never sent.
      if (what.startsWith("unseen")) unseen();
      return null;
    }
    switch (what) {
      case "out":
        this.inside = false;
        return v2({ leave: { [this.#id]: { timeline: [put(ev.member(this.#me, "leave"))] } } });
      case "rename":
        return join(put(ev.member(user, "join", { displayname: `name ${who}` })));
      case "redact": {
        const target = this.members.get(user);
        if (!target) return null;
        this.members.set(user, { ...target, content: { membership: target.content["membership"] } });
        return join(ev.event("m.room.redaction", ADMIN, {}, { redacts: target.event_id }));
      }
      case "message":
        return join(ev.message(ADMIN));
      case "unseen join":
      case "unseen leave":
        unseen();
        return gap();
      case "join":
      case "leave":
      case "invite":
        return join(put(ev.member(user, what)));
    }
  }
}

async function assembled(
  client: V3Client,
  id: string,
  world: World,
  params: { sort: string; limit: number },
  steps: readonly { op: Op; asks: string }[],
): Promise<void> {
  routes.members(id, () => [...world.members.values()]);
  const held = new Map<string, string>();
  let next: string | undefined;
  let page: { since: string; token: string } | null = null;
  let starting = true;
  const apply = (events: readonly MatrixEvent[]) => {
    for (const event of events) {
      if (isPresent(event)) held.set(String(event.state_key), event.event_id);
      else held.delete(String(event.state_key));
    }
  };
  /** Pages contain the snapshot, so a delta sent since then is newer. The client fetches all pages before it continues (R18). */
  const walk = async (most: number) => {
    for (let n = 0; page !== null && n < most; n++) {
      const answer: Answer = await client.sync({ room_members: { p: { since: page.token } } }, { since: page.since });
      const told: Json = answer["room_members"];
      if ("errcode" in told) return void (page = null);
      apply(told["events"] as MatrixEvent[]);
      const token = (told["p"] as Json)["next"];
      page = typeof token === "string" ? { since: page.since, token } : null;
    }
  };
  const sync = async () => {
    await walk(Infinity);
    const answer = await client.sync(next === undefined ? { room_members: { room_id: id, p: params } } : {}, { since: next });
    next = answer.next;
    const told: Json | undefined = answer["room_members"];
    if (!told) return false;
    if (starting) held.clear();
    apply((told["events"] ?? []) as MatrixEvent[]);
    const token = (told["p"] as Json | undefined)?.["next"];
    if (starting && typeof token === "string") page = { since: next, token };
    starting = "errcode" in told;
    return true;
  };
  await sync();
  for (const { op: one, asks } of steps) {
    const response = world.happens(one);
    if (response) await t.deliver(client, response);
    // A client that did not see itself leave cannot distinguish the start after a join from a delta.
    if (one.what === "out") while (await sync());
    else if (asks === "sync") await sync();
    else if (asks === "page") await walk(1);
  }
  while (await sync());
  if (!world.inside) return;
  expect(Object.fromEntries(held)).toEqual(
    Object.fromEntries([...world.members].filter(([, event]) => isPresent(event)).map(([user, event]) => [user, event.event_id])),
  );
}

it("S3 D18 I4 I5: a client that assembles members from pages and deltas has those of the homeserver", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("by_pl", "by_name"),
      fc.integer({ min: 1, max: 5 }),
      fc.array(step, { maxLength: 14 }),
      async (sort, limit, steps) => {
        count += 1;
        const id = `!assembled${count}:test`;
        const me = `@me${count}:test`;
        const world = new World(id, me);
        const client = t.login(
          me,
          "PHONE",
          v2({ join: { [id]: { state: [...world.state(), ...world.members.values()], timeline: [ev.message(ADMIN)] } } }),
        );
        await assembled(client, id, world, { sort, limit }, steps);
      },
    ),
    { numRuns: Number(process.env["FC_RUNS"] ?? 25) },
  );
}, 240_000);
