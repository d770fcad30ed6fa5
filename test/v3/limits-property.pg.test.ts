import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ev, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { ids, RoomRoutes } from "../support/rooms.ts";
import { type Answer, startV3, type V3Fixture } from "../support/v3.ts";

/** I4: all limited batches together are the unlimited answer, in order and without duplicates. */

const ADMIN = "@admin:test";
const RUNS = Number(process.env["FC_RUNS"] ?? 25);
let t: V3Fixture;
let routes: RoomRoutes;
let count = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

function room() {
  count += 1;
  const id = `!limits${count}:test`;
  const me = `@me${count}:test`;
  const present = new Map([ADMIN, me, "@u0:test", "@u1:test"].map((user) => [user, ev.member(user)]));
  routes.members(id, () => [...present.values()]);
  const state = [...newRoom(ADMIN).filter((event) => event.type !== "m.room.member"), ...present.values()];
  return { id, me, present, client: t.login(me, "PHONE", v2({ join: { [id]: { state, timeline: [ev.message(ADMIN)] } } })) };
}

const change = fc.record({ who: fc.nat(5), what: fc.constantFrom("join", "leave", "invite", "ban", "message") });
const batch = fc.record({ changes: fc.array(change, { minLength: 1, maxLength: 6 }), gap: fc.boolean(), asks: fc.nat(2) });
const limit = fc.integer({ min: 1, max: 4 });
const memberships = fc.constantFrom(["join", "invite"], ["join"], ["leave", "ban"], ["join", "leave", "ban", "invite", "knock"]);

it("S3 I4 I1: member deltas, with gaps, and the own leave at the end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { maxLength: 6 }), limit, memberships, fc.boolean(), async (batches, size, membership, leaves) => {
      const { id, me, present, client } = room();
      const start = (p: { limit: number }) => client.sync({ room_members: { room_id: id, membership, p } });
      const full = await start({ limit: 1000 });
      const limited = await start({ limit: size });
      const told: MatrixEvent[] = [];
      let { next } = limited;
      let last: Answer = limited;
      const ask = async () => {
        last = await client.sync({}, { since: next });
        const events: MatrixEvent[] = last["room_members"]?.events ?? [];
        // The user's leave in the last update does not count towards the limit if its membership was not asked for.
        expect(events.length).toBeLessThanOrEqual(size + 1);
        if (!last["room_members"]?.errcode) expect(events.length).toBeLessThanOrEqual(size);
        told.push(...events);
        ({ next } = last);
      };
      for (const { changes, gap, asks } of batches) {
        const timeline = changes.map(({ who, what }) => (what === "message" ? ev.message(ADMIN) : ev.member(`@u${who}:test`, what)));
        for (const event of timeline) if (event.type === "m.room.member") present.set(String(event.state_key), event);
        const unseen = ev.member(`@unseen${changes.length}:test`);
        if (gap) present.set(String(unseen.state_key), unseen);
        await t.deliver(client, v2({ join: { [id]: { timeline, ...(gap ? { limited: true, prev_batch: "p" } : {}) } } }));
        for (let n = 0; n < asks; n++) await ask();
      }
      const left = ev.member(me, "leave");
      if (leaves) {
        await ask();
        await t.deliver(client, v2({ leave: { [id]: { timeline: [ev.member("@u3:test", "knock"), left] } } }));
      }
      do await ask();
      while (last["room_members"]);
      const all = await client.sync({}, { since: full.next });
      expect(ids(told)).toEqual(ids(all["room_members"]?.events ?? []));
      expect(new Set(ids(told)).size).toBe(told.length);
      if (leaves) expect(told.at(-1)?.event_id).toBe(left.event_id);
    }),
    { numRuns: RUNS },
  );
}, 240_000);

it("S4 I4: room timelines with a small limit: the newest of the unlimited ones, and `limited` says exactly when some are missing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { maxLength: 8 }), limit, async (batches, size) => {
      const { id, client } = room();
      const full = await client.sync({ room: { room_id: id, timeline_limit: 100 } });
      let { next } = await client.sync({ room: { room_id: id, timeline_limit: size } });
      let since: MatrixEvent[] = [];
      let gapped = false;
      const told: MatrixEvent[] = [];
      const ask = async () => {
        const answer = await client.sync({}, { since: next });
        ({ next } = answer);
        const timeline = answer["room"]?.rooms[id]?.timeline ?? { events: [], limited: false };
        expect(ids(timeline.events)).toEqual(ids(since.slice(-size)));
        expect(timeline.limited).toBe(gapped || since.length > size);
        told.push(...timeline.events);
        since = [];
        gapped = false;
      };
      const everything: MatrixEvent[] = [];
      let anyGap = false;
      for (const { changes, gap, asks } of batches) {
        const timeline = changes.map(() => ev.message(ADMIN));
        since = [...(gap ? [] : since), ...timeline];
        if (gap) everything.length = 0;
        everything.push(...timeline);
        gapped ||= gap;
        anyGap ||= gap;
        await t.deliver(client, v2({ join: { [id]: { timeline, ...(gap ? { limited: true, prev_batch: "p" } : {}) } } }));
        if (asks > 0) await ask();
      }
      await ask();
      const all = (await client.sync({}, { since: full.next }))["room"]?.rooms[id]?.timeline ?? { events: [], limited: false };
      expect(ids(all.events)).toEqual(ids(everything));
      expect(all.limited).toBe(anyGap);
      expect(new Set(ids(told)).size).toBe(told.length);
    }),
    { numRuns: RUNS },
  );
}, 240_000);
