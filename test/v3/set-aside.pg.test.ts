import { afterEach, expect, it } from "vitest";

import { indexKey } from "../../src/wire/index-key.ts";
import { ev, newRoom, receipt, toDevice } from "../support/events.ts";
import { type Json, v2 } from "../support/fake-homeserver.ts";
import { incompressibleText } from "../support/lengths.ts";
import { refuse, stopRefusing } from "../support/refusing.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
afterEach(() => t.stop());

const ROOM = "!room:test";
const OTHER = "!other:test";
const ME = "@alice:test";

/** Alice is in two rooms; a response is blamed after its first failure, and what was set aside is read again as soon as it is due. */
async function start(): Promise<{ alice: V3Client; since: string; state: Json[] }> {
  t = await startV3({ suspects: { tries: 1, patienceMs: 0 }, supervision: { rereadMs: 50 } });
  const state = newRoom(ME);
  const alice = t.login(ME, "PHONE", v2({ join: { [ROOM]: { timeline: state }, [OTHER]: { timeline: newRoom(ME) } } }));
  const { next } = await alice.sync({
    room: { room_id: ROOM, timeline_limit: 10 },
    to_device: {},
    receipts: { room_id: ROOM },
    account_data: { global: true, rooms: [ROOM] },
  });
  return { alice, since: next, state };
}

/** The homeserver's answer about a single room. */
function serve(state: Json[], timeline: Json[], tag: Json): void {
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/state", () => ({ body: state }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", () => ({ body: { chunk: timeline.toReversed(), start: "s", end: "older" } }));
  t.hs.on("GET", "/_matrix/client/v3/user/:user/rooms/:room/account_data/:type", () => ({ body: tag }));
}

const rereadNow = () => t.sql`update rereads set due_at = now()`;
const asideCount = async () => (await t.sql`select from poison`).length;

it("N3: what was set aside is read again: the current room with its account data and receipts, and nothing stays set aside", async () => {
  const { alice, since, state } = await start();
  const bad = ev.message("@bob:test", "bad", { event_id: "$bad" });
  const good = ev.message("@bob:test", "other");
  await refuse(t.sql, { table: "timeline", when: "new.event_id = '$bad'", code: "22000" });
  await t.deliver(
    alice,
    v2({
      join: {
        [ROOM]: { timeline: [bad], account_data: [{ type: "m.tag", content: { tags: { old: {} } } }], ephemeral: [receipt("$bad", "@bob:test")] },
        [OTHER]: { timeline: [good] },
      },
      to_device: [toDevice("@bob:test", { n: 1 })],
    }),
  );
  // The other room and the message to the device came at once.
  const first = await alice.sync({}, { since });
  expect(first["to_device"].events).toHaveLength(1);
  expect(first["room"]).toBeUndefined();
  expect(await t.sql`select from timeline where event_id = ${good.event_id}`).toHaveLength(1);
  expect(await asideCount()).toBe(1);
  const later = ev.message("@bob:test", "later");
  serve([...state, ev.member("@bob:test")], [...state, bad, later], { tags: { "m.favourite": {} } });
  await stopRefusing(t.sql);
  await rereadNow();
  const second = await alice.sync({}, { since: first.next, timeout: 20_000 });
  const room = second["room"].rooms[ROOM];
  expect(room.timeline.events.map((event: Json) => event["event_id"])).toEqual(["$bad", later.event_id]);
  expect(JSON.stringify(second["receipts"])).toContain('"$bad"');
  expect(JSON.stringify(second["account_data"])).toContain("m.favourite");
  await expect.poll(asideCount).toBe(0);
  expect(await t.sql`select from rereads`).toHaveLength(0);
  // Nothing is missing: the next message follows without a gap.
  await t.deliver(alice, v2({ join: { [ROOM]: { timeline: [ev.message("@bob:test", "next")] } } }));
  const third = await alice.sync({}, { since: second.next, timeout: 20_000 });
  expect(third["room"].rooms[ROOM].timeline).toMatchObject({ limited: false });
});

it("N3: if a room still cannot be stored, everything but the bad event is", async () => {
  const { alice, since, state } = await start();
  const [before, bad, after] = [ev.message(ME, "before"), ev.message(ME, "bad", { event_id: "$bad" }), ev.message(ME, "after")];
  await refuse(t.sql, { table: "timeline", when: "new.event_id = '$bad'", code: "54000" });
  await t.deliver(alice, v2({ join: { [ROOM]: { timeline: [before, bad, after] } } }));
  expect(await asideCount()).toBe(1);
  serve(state, [...state, before, bad, after], {});
  await rereadNow();
  const answer = await alice.sync({}, { since, timeout: 20_000 });
  expect(answer["room"].rooms[ROOM].timeline.events.map((event: Json) => event["event_id"])).toEqual([before.event_id, after.event_id]);
  await expect.poll(async () => (await t.sql`select tries from rereads`)[0]).toMatchObject({ tries: 1 });
  expect(await asideCount()).toBe(1);
});

it("N3: a room that the user may not read any more is asked for no more", async () => {
  const { alice } = await start();
  await refuse(t.sql, { table: "timeline", when: "new.event_id = '$bad'", code: "54000" });
  await t.deliver(alice, v2({ leave: { [ROOM]: { timeline: [ev.member(ME, "leave", {}, { event_id: "$bad" })] } } }));
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/state", () => ({ status: 403, body: { errcode: "M_FORBIDDEN", error: "not in the room" } }));
  await rereadNow();
  await expect.poll(asideCount).toBe(0);
});

it("N2 N3: account data of a type that fits in no path is stored as it was set aside", async () => {
  const { alice, since, state } = await start();
  serve(state, [], {});
  const odd = { type: incompressibleText(5000), content: { odd: true } };
  const half = { type: "half \ud800", content: { half: true } };
  const key = indexKey(odd.type).replaceAll("'", "''");
  await refuse(t.sql, { table: "account_data", when: `new.type in ('${key}', '${indexKey(half.type)}')`, code: "54000" });
  await t.deliver(alice, v2({ account_data: [odd, half], join: { [ROOM]: { account_data: [odd, half] } } }));
  await expect.poll(asideCount).toBe(3);
  await stopRefusing(t.sql);
  await rereadNow();
  await expect.poll(asideCount).toBe(0);
  const { account_data: data } = await alice.sync({}, { since });
  expect(data.global).toEqual(expect.arrayContaining([odd, half]));
  expect(data.rooms[ROOM]).toEqual(expect.arrayContaining([odd, half]));
});

it("N3: global account data is asked for by its type", async () => {
  const { alice, since } = await start();
  await refuse(t.sql, { table: "account_data", when: "new.type = 'bad'", code: "54000" });
  await t.deliver(
    alice,
    v2({
      account_data: [
        { type: "bad", content: { old: true } },
        { type: "good", content: {} },
      ],
    }),
  );
  expect(JSON.stringify((await alice.sync({}, { since }))["account_data"])).toContain("good");
  await stopRefusing(t.sql);
  t.hs.on("GET", "/_matrix/client/v3/user/:user/account_data/bad", () => ({ body: { now: true } }));
  await rereadNow();
  const answer = await alice.sync({}, { since, timeout: 20_000 });
  await expect.poll(asideCount).toBe(0);
  const again = JSON.stringify((await alice.sync({}, { since: answer.next }))["account_data"] ?? answer["account_data"]);
  expect(again + JSON.stringify(answer["account_data"])).toContain('"now":true');
});

it("N3: while the homeserver is away nothing that waits to be read is given up, and nothing else is asked of it", async () => {
  const { alice, state } = await start();
  await t.sql`
    insert into rereads (account, kind, name, cause)
    select account, 'room', '!r' || n || ':test', 'too_large' from accounts, generate_series(1, 30) n`;
  const asked = () => t.hs.seen({ path: /\/state$/ }).length;
  t.hs.fail({ path: /\/state$/ }, { status: 502, body: {} }, 6);
  await expect.poll(asked).toBeGreaterThan(6);
  expect(await t.sql`select from rereads where tries > 0 and cause <> 'too_large'`).toHaveLength(0);
  serve(state, state, {});
  await t.sql`update rereads set due_at = now()`;
  await expect.poll(async () => (await t.sql`select from rereads`).length).toBe(0);
  expect((await alice.sync({}))["initial_sync"]).toBeUndefined();
});
