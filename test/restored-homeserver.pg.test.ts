/** A homeserver that was restored from a backup takes a since from the future, and answers with an older one (T3). */

import { afterEach, expect, it } from "vitest";
import { ev, newRoom } from "./support/events.ts";
import type { FakeRequest, Json } from "./support/fake-homeserver.ts";
import { v2 } from "./support/fake-homeserver.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { startV3, type V3Client, type V3Fixture } from "./support/v3.ts";

const ME = "@alice:test";
const ROOM = "!room:test";
const LATER = "!later:test";
const LISTS = { lists: { all: { ranges: [[0, 9]] as [number, number][], state: [], limit: 10 } } };
const old = ev.message("@bob:test", "before the backup");
const lost = ev.message("@bob:test", "lost");
const other = ev.message("@bob:test", "after the restore");

let t: V3Fixture;
afterEach(() => t.stop());

/** Alice has seen what the backup has not: an event, and a room. */
async function start(): Promise<{ alice: V3Client; state: Json[] }> {
  t = await startV3({ supervision: { setbackMs: [0, 0, 0] } });
  const state = newRoom(ME);
  const alice = t.login(ME, "PHONE", v2({ join: { [ROOM]: { timeline: [...state, old] } } }));
  await alice.sync({ room_list: {} });
  await t.deliver(alice, v2({ join: { [ROOM]: { timeline: [lost] }, [LATER]: { timeline: newRoom(ME) } } }));
  return { alice, state };
}

const waiting = ({ signal }: FakeRequest) => new Promise<{ body: Json }>((resolve) => signal.addEventListener("abort", () => resolve({ body: {} })));

/** From now on the homeserver answers a since of before with `back`, a first sync with `first` and s7, and then nothing new. */
function restore(back: string, first: Json): void {
  t.hs.on("GET", "/_matrix/client/v3/sync", async (request) => {
    const since = request.query.get("since");
    if (since === null) return { body: { ...first, next_batch: "s7" } };
    return since === "s7" ? waiting(request) : { body: { next_batch: back } };
  });
  t.hs.disconnect();
}

const serveEvents = (known: readonly string[]) =>
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", ({ params }) =>
    known.includes(params["event"] ?? "") ? { body: old } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "no such event" } },
  );

it.each(["v3", ...DIALECTS] as const)("T3: %s: what the backup did not have is gone, and a live connection starts from scratch", async (face) => {
  const { alice, state } = await start();
  const sliding = face === "v3" ? null : new SlidingClient(alice, face);
  const fresh = async () =>
    JSON.stringify(sliding ? await sliding.sync(LISTS) : await alice.sync({ room: { room_id: ROOM, timeline_limit: 10 }, room_list: {} }));
  const first: Json = sliding ? await sliding.sync(LISTS) : await alice.sync({ room_list: {} });
  serveEvents([]);
  restore("s1", v2({ join: { [ROOM]: { timeline: [...state, old, other] } } }));
  const again = () => (sliding ? sliding.request(LISTS, { pos: String(first["pos"]) }) : alice.request({}, { since: String(first["next"]) }));
  await expect.poll(async () => (await again()).status).toBe(400);
  expect((await again()).body["errcode"]).toBe(face === "v3" ? "M_UNKNOWN_SYNC_SESSION" : "M_UNKNOWN_POS");
  const text = await fresh();
  expect([text.includes("after the restore"), text.includes("before the backup"), text.includes('"lost"'), text.includes(LATER)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

it("T3: answers that are a little behind for a moment change nothing", async () => {
  const { alice } = await start();
  serveEvents([]);
  const { next } = await alice.sync({ room_list: {} });
  let behind = 3;
  t.hs.on("GET", "/_matrix/client/v3/sync", async (request) => {
    if (behind > 0) return { body: { next_batch: `s${(behind -= 1) - 1}` } };
    return request.query.get("since") === "s9"
      ? waiting(request)
      : { body: { ...v2({ join: { [ROOM]: { timeline: [other] } } }), next_batch: "s9" } };
  });
  t.hs.disconnect();
  const answer = await alice.sync({}, { since: next, timeout: 20_000 });
  expect(JSON.stringify(answer)).toContain(ROOM);
  expect(await t.sql`select since from accounts`).toEqual([{ since: "s9" }]);
  expect(t.hs.seen({ path: /\/event\// })).toEqual([]);
});

it("T3: a homeserver that goes back but still knows the newest events has more time: once it is where it was, nothing has changed", async () => {
  const { alice } = await start();
  const { next } = await alice.sync({ room_list: {} });
  serveEvents([lost.event_id]);
  t.hs.on("GET", "/_matrix/client/v3/sync", async (request) => {
    if (request.query.get("since") === "s9") return waiting(request);
    const isAsked = t.hs.seen({ path: /\/event\// }).length > 0;
    return { body: isAsked ? { ...v2({ join: { [ROOM]: { timeline: [other] } } }), next_batch: "s9" } : { next_batch: "s1" } };
  });
  t.hs.disconnect();
  const answer = await alice.sync({}, { since: next, timeout: 20_000 });
  expect(JSON.stringify(answer)).toContain(ROOM);
  expect(await t.sql`select since, restored from accounts`).toEqual([{ since: "s9", restored: false }]);
});

it("T3: an account of which the backup has everything: what comes after the restore is not lost", async () => {
  const { alice } = await start();
  const { next } = await alice.sync({ room_list: {} });
  serveEvents([lost.event_id]);
  const message = { type: "m.dummy", sender: ME, content: { n: 1 } };
  restore("s1", { ...v2({ join: { [ROOM]: { timeline: [...newRoom(ME), other] } } }), to_device: { events: [message] } });
  await expect.poll(() => t.sql`select since from accounts`).toEqual([{ since: "s7" }]);
  expect((await alice.request({}, { since: next })).status).toBe(400);
  expect(JSON.stringify(await alice.sync({ room: { room_id: ROOM, timeline_limit: 10 }, to_device: {} }))).toContain('{"n":1}');
});

it("T3: of several writers each has a place of its own", async () => {
  t = await startV3({ supervision: { setbackMs: [0, 0, 0] } });
  const [before, behind, restored] = ["m50~1.50~2.58_7", "m47~1.50~2.55_7", "m41~1.41~2.42_7"];
  const alice = t.login(ME, "PHONE", { ...v2({ join: { [ROOM]: { timeline: [...newRoom(ME), lost] } } }), next_batch: before });
  const { next } = await alice.sync({ room_list: {} });
  serveEvents([]);
  let isRestored = false;
  let polls = 0;
  t.hs.on("GET", "/_matrix/client/v3/sync", async (request) => {
    const since = request.query.get("since");
    if (since === null) return { body: { ...v2({ join: { [ROOM]: { timeline: [...newRoom(ME), other] } } }), next_batch: restored } };
    if (isRestored) return since === restored ? waiting(request) : { body: { next_batch: behind } };
    // At first one of them is a little behind.
    return (polls += 1) <= 2 ? { body: { next_batch: behind } } : waiting(request);
  });
  t.hs.disconnect();
  await expect.poll(() => polls).toBe(3);
  expect(await t.sql`select since, restored from accounts`).toEqual([{ since: before, restored: false }]);
  isRestored = true;
  t.hs.disconnect();
  await expect.poll(() => t.sql`select since from accounts`).toEqual([{ since: restored }]);
  expect((await alice.request({}, { since: next })).status).toBe(400);
});

it("T3: a homeserver that has made up for the lost events, but not for the lost to-device messages: those that come next are not lost", async () => {
  t = await startV3({ supervision: { setbackMs: [0, 0, 0] } });
  const tokens = ["s10_0_0_0_5_0_8_5_0_1_1_1_1_1", "s12_0_0_0_5_0_6_5_0_1_1_1_1_1", "s12_0_0_0_5_0_7_5_0_1_1_1_1_1"];
  const [before = "", after = "", last = ""] = tokens;
  const alice = t.login(ME, "PHONE", { ...v2({ join: { [ROOM]: { timeline: [...newRoom(ME), old] } } }), next_batch: before });
  const { next } = await alice.sync({ room_list: {} });
  serveEvents([old.event_id]);
  const message = { type: "m.dummy", sender: ME, content: { n: 1 } };
  t.hs.on("GET", "/_matrix/client/v3/sync", async (request) => {
    const since = request.query.get("since");
    if (since === before) return { body: { next_batch: after } };
    return since === null ? { body: { ...v2({ join: {} }), to_device: { events: [message] }, next_batch: last } } : waiting(request);
  });
  t.hs.disconnect();
  await expect.poll(() => t.sql`select since from accounts`).toEqual([{ since: last }]);
  expect((await alice.request({}, { since: next })).status).toBe(400);
  expect(JSON.stringify(await alice.sync({ to_device: {} }))).toContain('{"n":1}');
});
