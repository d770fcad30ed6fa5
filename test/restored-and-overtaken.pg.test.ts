/**
 * A homeserver that was restored from a backup, and whose positions are past ours before we poll it again: only its answers about events show it (T3).
 */

import { afterEach, describe, expect, it, vi } from "vitest";
import { ev, newRoom } from "./support/events.ts";
import { type FakeReply, type FakeRequest, type Json, type MatrixEvent, v2 } from "./support/fake-homeserver.ts";
import { startV3, type V3Client, type V3Fixture, type V3Options } from "./support/v3.ts";

/** Where the homeserver is, of 500 new events. */
const NOW = "s502";
const NOT_FOUND: FakeReply = { status: 404, body: { errcode: "M_NOT_FOUND", error: "Event not found." } };

type User = {
  readonly client: V3Client;
  readonly room: string;
  /** What the homeserver had in its backup. */
  readonly saved: MatrixEvent[];
  /** What it has lost. */
  readonly lost: MatrixEvent[];
};

let t: V3Fixture;
let users: User[];
/** What the homeserver answers about an event that it does not have. */
let unknown: () => FakeReply;
let listed: (user: User) => string[];
/** Awaited by syncs without `since`. */
let gate: () => Promise<unknown>;
let peak: number;
let running: number;
afterEach(() => t.stop());

/** So many users with a room each, of which the first `losing` have seen what the backup does not have. The server stops, and the homeserver is restored. */
async function restore(count: number, losing: number, options: V3Options = {}): Promise<void> {
  t = await startV3({ ...options, supervision: { checkMs: 50, rereadMs: 50, ...options.supervision } });
  [peak, running] = [0, 0];
  unknown = () => NOT_FOUND;
  listed = ({ room }) => [room];
  gate = async () => {};
  users = [];
  for (let i = 0; i < count; i += 1) {
    const [me, room] = [`@user${i}:test`, `!room${i}:test`];
    const saved = [...newRoom(me), ev.message("@bob:test", "before the backup")];
    const client = t.login(me, "PHONE", v2({ join: { [room]: { timeline: saved } } }));
    await client.sync({ room_list: {} });
    users.push({ client, room, saved, lost: [] });
  }
  for (const { client, room, lost } of users.slice(0, losing)) {
    lost.push(...Array.from({ length: 6 }, (_, n) => ev.message("@bob:test", `lost ${n}`)));
    await t.deliver(client, v2({ join: { [room]: { timeline: lost } } }));
  }
  await t.stopServer();
  const known = new Map(users.flatMap(({ saved }) => saved.map((event) => [event.event_id, event])));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", ({ params }) => {
    const body = known.get(params["event"] ?? "");
    return body ? { body } : unknown();
  });
  t.hs.on("GET", "/_matrix/client/v3/joined_rooms", (request) => ({ body: { joined_rooms: listed(userOf(request)) } }));
  t.hs.on("GET", "/_matrix/client/v3/sync", (request) => answer(request));
  t.hs.forget();
}

const userOf = ({ token }: FakeRequest): User => {
  const user = users.find(({ client }) => client.token === token);
  if (!user) throw new Error("a token of nobody");
  return user;
};

async function answer(request: FakeRequest): Promise<FakeReply> {
  const { room, saved } = userOf(request);
  const since = request.query.get("since");
  // More than are asked for: without what was stored before, a sample of them would show nothing.
  const newer = Array.from({ length: 20 }, (_, n) => ev.message("@bob:test", `after the restore ${n}`, { event_id: `$new${n}${room}` }));
  const answered = (timeline: MatrixEvent[]): Json => ({ ...v2({ join: { [room]: { timeline } } }), next_batch: NOW });
  if (since === NOW) {
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    return { body: {} };
  }
  if (since !== null) return { body: answered(newer) };
  running += 1;
  peak = Math.max(peak, running);
  await gate();
  running -= 1;
  return { body: answered([...saved, ...newer]) };
}

const fresh = ({ client, room }: User) => client.sync({ room: { room_id: room, timeline_limit: 50 } }).then((shown) => JSON.stringify(shown));
/** Without those that only compare which rooms there are (T1). */
const wholeSyncs = ({ client }: User) =>
  t.hs.polls(client.token).filter(({ query }) => !query.has("since") && !query.get("filter")?.includes('"timeline":{"limit":1}'));
const asked = () => t.hs.seen({ path: /\/event\// });
const probesEnd = async () => {
  await expect.poll(() => t.sql`select from restore_probes`, { timeout: 20_000 }).toEqual([]);
};
const accounts = () => t.sql<{ since: string | null; restored: boolean }[]>`select since, restored from accounts order by account`;
const first = (): User => users[0] as User;

it("T3: 500 new events after the restore: its answers about events show it; sessions end when the new sync is stored, not before", async () => {
  await restore(1, 1);
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  gate = () => opened;
  await t.start();
  await expect.poll(() => wholeSyncs(first())).toHaveLength(1);
  const before = await first().client.sync({ room: { room_id: first().room, timeline_limit: 50 } });
  expect(JSON.stringify(before)).toContain("lost 5");
  open();
  await expect.poll(async () => (await first().client.request({}, { since: before.next })).status).toBe(400);
  const shown = await fresh(first());
  expect([shown.includes("before the backup"), shown.includes("after the restore 19"), shown.includes("lost")]).toEqual([true, true, false]);
  expect(asked()).toHaveLength(5);
});

it.each([
  [2, 1, "no other account is synced from scratch"],
  [3, 1, "all are, two at a time"],
  [3, 2, "all are, two at a time, also over two processes"],
])("T3: %i accounts are found by %i processes: %s", async (losing, workers) => {
  await restore(6, losing, { workers });
  let done = 0;
  // Two at a time, as long as there are two.
  gate = async () => {
    await vi.waitUntil(() => running >= 2 || done >= (losing < 3 ? losing : users.length) - 1, { timeout: 20_000 });
    done += 1;
  };
  await t.start();
  const expected = users.map((_user, i) => (losing < 3 && i >= losing ? 0 : 1));
  await expect.poll(() => users.map((user) => wholeSyncs(user).length), { timeout: 20_000 }).toEqual(expected);
  await expect.poll(accounts, { timeout: 20_000 }).toEqual(users.map(() => ({ since: NOW, restored: false })));
  await probesEnd();
  expect(peak).toBe(2);
  expect((await fresh(first())).includes("lost")).toBe(false);
  // Not again: neither by what was found before nor at another start.
  await t.restart();
  await probesEnd();
  await expect.poll(() => t.hs.polls(first().client.token).filter(({ query }) => query.get("since") === NOW).length).toBeGreaterThan(1);
  expect(users.map((user) => wholeSyncs(user).length)).toEqual(expected);
});

it("T3: what was chosen, and what is to be synced from scratch, outlives restarts", async () => {
  await restore(3, 3);
  unknown = () => ({ status: 503, body: { errcode: "M_UNKNOWN", error: "not yet" } });
  await t.start();
  await expect.poll(() => asked().length).toBeGreaterThan(0);
  // What comes meanwhile is newer than what was chosen.
  await expect.poll(accounts).toEqual(users.map(() => ({ since: NOW, restored: false })));
  await t.stopServer();
  unknown = () => NOT_FOUND;
  gate = () => Promise.race([]);
  await t.sql`update restore_probes set due_at = now()`;
  await t.start();
  await expect.poll(accounts).toEqual(users.map(() => ({ since: null, restored: true })));
  await expect.poll(() => running).toBe(2);
  await t.stopServer();
  gate = async () => {};
  await t.start();
  await expect.poll(accounts).toEqual(users.map(() => ({ since: NOW, restored: false })));
});

describe("T3: a homeserver that was not restored", () => {
  it.each<readonly [string, () => void]>([
    ["it knows the fifth newest event", () => t.hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", (request) => fifthOnly(request))],
    ["it does not have the user in the rooms any more", () => (listed = () => [])],
    ["it does not have the endpoint", () => (unknown = () => ({ status: 404, body: { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" } }))],
    ["a reverse proxy refuses the question", () => (unknown = () => ({ status: 403, body: "<html>no</html>" }))],
    ["the sender is ignored", () => (ignores = true)],
  ])("T3: %s: nothing is synced from scratch", async (_why, happen) => {
    ignores = false;
    await restore(3, 3);
    happen();
    if (ignores) await t.sql`update accounts set ignored = '["@bob:test"]'`;
    await t.start();
    await expect.poll(accounts).toEqual(users.map(() => ({ since: NOW, restored: false })));
    await probesEnd();
    expect(users.flatMap(wholeSyncs)).toEqual([]);
  });

  it.each<readonly [string, FakeReply]>([
    ["429", { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", error: "Too many requests", retry_after_ms: 10 } }],
    ["500", { status: 500, body: { errcode: "M_UNKNOWN", error: "Internal server error" } }],
    ["502", { status: 502, body: "<html>Bad gateway</html>" }],
  ])("T3: it answers %s: it is asked less, and again later", async (_status, reply) => {
    await restore(3, 3);
    unknown = () => reply;
    await t.start();
    await expect.poll(async () => (await t.sql<{ halvings: number }[]>`select halvings from question_rate`)[0]?.halvings).toBeGreaterThan(0);
    await expect.poll(accounts).toEqual(users.map(() => ({ since: NOW, restored: false })));
    expect(await t.sql`select from restore_probes`).toHaveLength(3);
    expect(users.flatMap(wholeSyncs)).toEqual([]);
  });
});

let ignores = false;

function fifthOnly({ params }: FakeRequest): FakeReply {
  const fifth = users.map(({ lost }) => lost.at(-5)).find((event) => event?.event_id === params["event"]);
  return fifth ? { body: fifth } : NOT_FOUND;
}
