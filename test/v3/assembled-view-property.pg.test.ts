import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { type Answer, startV3, type V3Client, type V3Fixture } from "../support/v3.ts";
import { type Loose, type RoomView, View } from "../support/view.ts";

/** A client that assembles rooms from pages and deltas ends up with the view of a new session. */

const ADMIN = "@admin:test";
const TIMELINE = 3;
const SPACE = "!space:test";
let t: V3Fixture;
let count = 0;

beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

/** The homeserver's side of one user's rooms. */
class World {
  readonly joined = new Map<string, { name: string; topic: number }>();
  readonly last = new Map<string, string>();
  readonly me: string;
  constructor(me: string) {
    this.me = me;
  }

  /** The first v2 response: the user is in a space without children. */
  first(): Json {
    this.joined.set(SPACE, { name: "space", topic: 0 });
    return v2({
      join: {
        [SPACE]: { state: [...newRoom(ADMIN, { type: "m.space" }), ev.name(ADMIN, "space")], timeline: this.#say(SPACE, [ev.message(ADMIN)]) },
      },
    });
  }

  /** The v2 response for something that happens; null: it cannot happen now. */
  happens({ room: n, what, value }: Op): Json | null {
    const id = `!r${n}:test`;
    const room = this.joined.get(id);
    if (what === "child") {
      const content = value % 4 === 0 ? {} : { via: ["test"], ...(value % 2 === 0 ? { order: String(value) } : {}) };
      return v2({ join: { [SPACE]: { timeline: this.#say(SPACE, [ev.spaceChild(ADMIN, id, content)]) } } });
    }
    if (what === "join") {
      if (room) return null;
      const made = { name: `room ${value}`, topic: 0 };
      this.joined.set(id, made);
      return v2({
        join: {
          [id]: {
            state: [...newRoom(ADMIN), ev.name(ADMIN, made.name)],
            timeline: this.#say(id, [ev.member(this.me), ev.message(ADMIN)]),
            summary: { "m.joined_member_count": 2 },
          },
        },
      });
    }
    if (!room) return null;
    const timeline = (events: MatrixEvent[], more: Json = {}) => v2({ join: { [id]: { timeline: this.#say(id, events), ...more } } });
    const many = Array.from({ length: 1 + (value % 5) }, () => ev.message(ADMIN));
    switch (what) {
      case "say":
        return timeline(many);
      case "rename":
        room.name = `name ${value}`;
        return timeline([ev.name(ADMIN, room.name), ...many.slice(1)]);
      case "topic":
        return timeline([ev.topic(ADMIN, `topic ${value}`), ...many.slice(1)]);
      case "gap":
        room.name = `gap ${value}`;
        return timeline(many, { limited: true, prev_batch: `p${value}`, state: [ev.name(ADMIN, room.name)] });
      case "count":
        return v2({
          join: {
            [id]: { unread: { notification_count: value % 3, highlight_count: value % 2 }, summary: { "m.joined_member_count": 2 + (value % 4) } },
          },
        });
      case "tag":
        return v2({ join: { [id]: { account_data: [{ type: "m.tag", content: { tags: value % 2 === 0 ? { fav: {} } : {} } }] } } });
      case "leave":
        this.joined.delete(id);
        return v2({ leave: { [id]: { timeline: this.#say(id, [ev.member(this.me, "leave")]) } } });
    }
  }

  #say(id: string, events: MatrixEvent[]): MatrixEvent[] {
    this.last.set(id, events.at(-1)?.event_id ?? "");
    return events;
  }
}

type Op = {
  readonly room: number;
  readonly what: "join" | "say" | "rename" | "topic" | "gap" | "count" | "tag" | "child" | "leave";
  readonly value: number;
};
const op = fc.record({
  room: fc.nat(4),
  what: fc.constantFrom<Op["what"]>("join", "join", "say", "say", "rename", "topic", "gap", "count", "tag", "child", "child", "leave"),
  value: fc.nat(20),
});
/** What the client does after something happened: asks for news, fetches a page, does both at once, asks twice, or nothing. */
const step = fc.record({ op, asks: fc.constantFrom("sync", "sync", "page", "both", "replay", "nothing") });
const parameters = fc.constantFrom<Json>(
  {},
  { filters: { tags: ["fav"] } },
  { p: { sort: "by_name" } },
  { timeline_limit: 1 },
  { spaces: [SPACE], p: { sort: "by_space_order" } },
);

const streams = (list: Json): Json => ({
  room_list: { timeline_limit: TIMELINE, ...list },
  room: { room_id: "room_list", timeline_limit: TIMELINE },
});

/** The newest events are equal; one of the timelines may reach further back, since the client started elsewhere or was sent more at once. */
function expectSameTail(a: readonly string[], b: readonly string[]): void {
  const length = Math.min(a.length, b.length);
  expect(a.slice(a.length - length)).toEqual(b.slice(b.length - length));
  expect(length > 0 || (a.length === 0 && b.length === 0)).toBe(true);
}

/** The newest ids: what was sent before them depends on how often the client asked. */
function newest(timeline: readonly Loose[] = []): string[] {
  return timeline.slice(-TIMELINE).map((event) => event["event_id"] as string);
}

/** Members are not asked for. */
function stateOf(room: RoomView | undefined): Json {
  return Object.fromEntries([...(room?.stateIds ?? [])].filter(([key]) => !key.startsWith("m.room.member|")));
}

async function fresh(client: V3Client, list: Json): Promise<View> {
  return new View(client.userId).applyV3(await client.sync(streams({ ...list, p: { ...(list["p"] as Json | undefined), limit: 100 } })));
}

type Course = { readonly list: Json; readonly limit: number; readonly before: readonly Op[]; readonly steps: readonly { op: Op; asks: string }[] };

async function followed(client: V3Client, world: World, { list, limit, before, steps }: Course): Promise<void> {
  const deliver = async (one: Op) => {
    const response = world.happens(one);
    if (response) await t.deliver(client, response);
  };
  await client.sync();
  for (const one of before) await deliver(one);
  const view = new View(client.userId);
  const first = await client.sync(streams({ ...list, p: { ...(list["p"] as Json | undefined), limit } }));
  view.applyV3(first);
  let { next } = first;
  let page: unknown = first["room_list"].p.next;
  const asksNew = () => client.sync({}, { since: next });
  const asksPage = () => client.sync({ room_list: { p: { since: page } } }, { since: first.next });
  const takesNew = (answer: Answer) => {
    view.applyV3(answer);
    ({ next } = answer);
    return answer;
  };
  const takesPage = (answer: Answer) => {
    view.applyV3(answer);
    page = answer["room_list"].p.next;
  };
  for (const { op: one, asks } of steps) {
    await deliver(one);
    if (asks === "sync") takesNew(await asksNew());
    else if (asks === "page" && page !== undefined) takesPage(await asksPage());
    else if (asks === "replay") await asksNew();
    else if (asks === "both" && page !== undefined) {
      // In whichever order the server saw them: a page is older than every answer, so the client applies it first.
      const [told, more] = await Promise.all([asksNew(), asksPage()]);
      takesPage(more);
      takesNew(told);
    }
  }
  for (let left = page !== undefined; left; left = page !== undefined) takesPage(await asksPage());
  takesNew(await asksNew());
  expect(Object.keys(takesNew(await asksNew()))).toEqual(["next"]);

  const now = await fresh(client, list);
  expect([...view.listed.keys()].toSorted()).toEqual([...now.listed.keys()].toSorted());
  for (const [roomId, entry] of now.listed) {
    const seen = view.listed.get(roomId);
    expect(seen?.fields).toEqual(entry.fields);
    expectSameTail(newest(seen?.timeline), newest(entry.timeline));
    expect(newest(seen?.timeline).at(-1)).toBe(world.last.get(roomId));
    expect(entry.fields["name"]).toBe(world.joined.get(roomId)?.name);
    const [held, room] = [view.rooms.get(roomId), now.rooms.get(roomId)];
    expect({ state: stateOf(held), counts: held?.counts }).toEqual({ state: stateOf(room), counts: room?.counts });
    expectSameTail(newest(held?.timeline), newest(room?.timeline));
  }
  if (!("filters" in list) && !("spaces" in list)) expect([...now.listed.keys()].toSorted()).toEqual([...world.joined.keys()].toSorted());
}

it("S4 S5 D10 D14 I11: a client that assembles rooms from pages and deltas has what a fresh session gets", async () => {
  await fc.assert(
    fc.asyncProperty(
      parameters,
      fc.integer({ min: 1, max: 4 }),
      fc.array(op, { maxLength: 10 }),
      fc.array(step, { maxLength: 14 }),
      async (list, limit, before, steps) => {
        count += 1;
        const world = new World(`@me${count}:test`);
        await followed(t.login(world.me, "PHONE", world.first()), world, { list, limit, before, steps });
      },
    ),
    { numRuns: Number(process.env["FC_RUNS"] ?? 40) },
  );
}, 240_000);
