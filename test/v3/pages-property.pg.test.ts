import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, v2 } from "../support/fake-homeserver.ts";
import { RoomRoutes } from "../support/rooms.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

/** I5: pages of a snapshot partition it, whatever happens meanwhile. */

const ADMIN = "@admin:test";
let t: V3Fixture;
let routes: RoomRoutes;
let count = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

/** All pages from `first` on, each with its own limit; `between` runs before each. */
async function walk(
  client: V3Client,
  stream: string,
  params: Json,
  limits: readonly number[],
  between: (step: number) => Promise<void>,
): Promise<Json[]> {
  const first = await client.sync({ [stream]: { ...params, p: { ...(params["p"] as Json), limit: limits[0] ?? 1 } } });
  const items = (answer: Json) => (answer[stream === "room_list" ? "rooms" : "events"] ?? []) as Json[];
  const sent = [...items(first[stream])];
  let next: unknown = first[stream].p.next;
  for (let step = 1; next !== undefined; step++) {
    await between(step);
    const page = await client.sync({ [stream]: { p: { since: next, limit: limits[step % limits.length] ?? 1 } } }, { since: first.next });
    expect(page.next).toBe(first.next);
    expect(items(page[stream]).length).toBeLessThanOrEqual(page[stream].p.limit);
    sent.push(...items(page[stream]));
    next = page[stream].p.next;
  }
  return sent;
}

const limits = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
const NAMES = ["anna", "Anna", "straße", "STRASSE", "z", "", "ä"];
const person = fc.record({ name: fc.option(fc.constantFrom(...NAMES)), level: fc.option(fc.integer({ min: -1, max: 2 })) });
const memberChange = fc.record({
  who: fc.nat(20),
  what: fc.constantFrom("join", "leave", "ban", "rename", "promote", "redact"),
  name: fc.constantFrom(...NAMES),
  level: fc.integer({ min: -1, max: 3 }),
});

it("I5: pages of members", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(person, { maxLength: 12 }),
      fc.constantFrom("by_pl", "by_name"),
      limits,
      fc.array(memberChange, { maxLength: 12 }),
      async (people, sort, sizes, changes) => {
        count += 1;
        const id = `!members${count}:test`;
        const me = `@me${count}:test`;
        const user = (n: number) => `@u${String(n).padStart(2, "0")}:test`;
        const members = [ev.member(me), ...people.map((one, n) => ev.member(user(n), "join", one.name === null ? {} : { displayname: one.name }))];
        const levels = Object.fromEntries(people.flatMap((one, n) => (one.level === null ? [] : [[user(n), one.level]])));
        const present = new Map(members.map((event) => [String(event.state_key), event]));
        routes.members(id, () => [...present.values()]);
        const client = t.login(me, "PHONE", v2({ join: { [id]: { state: [ev.create(ADMIN), ev.powerLevels(ADMIN, levels), ...members] } } }));
        const params = { room_id: id, p: { sort } };
        const full = (await client.sync({ room_members: { ...params, p: { sort, limit: 1000 } } }))["room_members"].events as MatrixEvent[];
        const queue = [...changes];
        const sent = (await walk(client, "room_members", params, sizes, async () => {
          const change = queue.shift();
          if (!change) return;
          const who = user(change.who);
          const event =
            change.what === "promote"
              ? ev.powerLevels(ADMIN, { ...levels, [who]: change.level })
              : change.what === "redact"
                ? ev.event("m.room.redaction", ADMIN, {}, { redacts: present.get(who)?.event_id ?? "$none" })
                : change.what === "rename"
                  ? ev.member(who, "join", { displayname: change.name })
                  : ev.member(who, change.what);
          if (event.type === "m.room.member") present.set(who, event);
          await t.deliver(client, v2({ join: { [id]: { timeline: [event] } } }));
        })) as MatrixEvent[];
        expect(sent.map((event) => event.event_id)).toEqual(full.map((event) => event.event_id));
      },
    ),
    { numRuns: 25 },
  );
}, 120_000);

const roomOf = fc.record({ name: fc.constantFrom(...NAMES), unread: fc.nat(2) });
const roomChange = fc.record({
  which: fc.nat(14),
  what: fc.constantFrom("say", "rename", "unread", "leave", "join"),
  name: fc.constantFrom(...NAMES),
  unread: fc.nat(3),
});

it("I5: pages of the room list, and afterwards every room is followed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(roomOf, { maxLength: 10 }),
      fc.subarray(["by_recency", "by_name", "by_notification_count"]),
      limits,
      fc.array(roomChange, { maxLength: 8 }),
      async (rooms, sort, sizes, changes) => {
        count += 1;
        const me = `@me${count}:test`;
        const id = (n: number) => `!r${String(n).padStart(2, "0")}:test`;
        const state = (name: string) => [ev.create(ADMIN), ev.member(me), ev.name(ADMIN, name)];
        const client = t.login(
          me,
          "PHONE",
          v2({
            join: Object.fromEntries(
              rooms.map((one, n) => [id(n), { state: state(one.name), timeline: [ev.message(ADMIN)], unread: { notification_count: one.unread } }]),
            ),
          }),
        );
        const full = (await client.sync({ room_list: { p: { sort, limit: 100 } } }))["room_list"];
        expect(full.count).toBe(rooms.length);
        const queue = [...changes];
        const sent = await walk(client, "room_list", { p: { sort } }, sizes, async () => {
          const change = queue.shift();
          if (!change) return;
          const room = id(change.which);
          const parts = {
            say: { timeline: [ev.message(ADMIN)] },
            rename: { timeline: [ev.name(ADMIN, change.name)] },
            unread: { unread: { notification_count: change.unread } },
            join: { state: state(change.name), timeline: [ev.message(ADMIN)] },
            leave: { timeline: [ev.member(me, "leave")] },
          }[change.what];
          await t.deliver(client, v2(change.what === "leave" ? { leave: { [room]: parts } } : { join: { [room]: parts } }));
        });
        const shape = (one: Json) => [
          one["room_id"],
          one["name"],
          one["notification_count"],
          (one["timeline"] as MatrixEvent[]).map((event) => event.event_id),
        ];
        expect(sent.map(shape)).toEqual(full.rooms.map(shape));
      },
    ),
    { numRuns: 25 },
  );
}, 120_000);
