import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, toDevice, type V2Parts } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

const ROOM = "!room:test";
const OTHER = "!other:test";
const KINDS = ["join", "invite", "knock", "leave"] as const;
type RoundKind = (typeof KINDS)[number];
const BEFORE = ["unknown", "join", "invite", "leave"] as const;

/** Every set of two or more sections, and which of them is the newest; null: nothing shows it. */
const CASES = subsets(KINDS).flatMap((kinds) => [...kinds, null].map((newest) => ({ kinds, newest })));

function subsets(kinds: readonly RoundKind[]): RoundKind[][] {
  const all = Array.from({ length: 2 ** kinds.length }, (_, bits) => kinds.filter((_kind, index) => (bits >> index) & 1));
  return all.filter((set) => set.length > 1);
}

let users = 0;
async function account(before: (typeof BEFORE)[number]): Promise<TestAccount> {
  users += 1;
  const me = await TestAccount.create(db.sql, `@me${users}:test`);
  if (before === "join") await me.step({ join: { [ROOM]: { state: newRoom("@bob:test"), timeline: [ev.member(me.me)] } } });
  else if (before === "invite") await me.step({ invite: { [ROOM]: [ev.member(me.me, "invite", {}, { sender: "@bob:test" })] } });
  else if (before === "leave") await me.step({ leave: { [ROOM]: { timeline: [ev.member(me.me, "leave")] } } });
  else await me.step({});
  return me;
}

/** The newest section's own membership is of `ts` 2, the others' of 1; `without`: none has a time. */
function answer(me: string, { kinds, newest }: (typeof CASES)[number]): { parts: V2Parts; message: MatrixEvent[] } {
  const message: MatrixEvent[] = [];
  const over = (kind: RoundKind): Json => (newest === null ? { origin_server_ts: 7 } : { origin_server_ts: kind === newest ? 2 : 1 });
  const section = (kind: "join" | "leave"): RoomParts => {
    const sent = ev.message("@bob:test", kind);
    message.push(sent);
    const state = kind === "join" ? newRoom("@bob:test") : [];
    return { state, timeline: [sent, ev.member(me, kind, {}, over(kind))], ephemeral: [], account_data: [{ type: `was.${kind}`, content: {} }] };
  };
  const stripped = (kind: "invite" | "knock"): Json[] => [ev.member(me, kind, {}, { sender: kind === "invite" ? "@bob:test" : me, ...over(kind) })];
  const parts: V2Parts = {
    to_device: [toDevice("@bob:test")],
    join: { [OTHER]: { timeline: newRoom(me) }, ...(kinds.includes("join") ? { [ROOM]: section("join") } : {}) },
    ...(kinds.includes("leave") ? { leave: { [ROOM]: section("leave") } } : {}),
    ...(kinds.includes("invite") ? { invite: { [ROOM]: stripped("invite") } } : {}),
    ...(kinds.includes("knock") ? { knock: { [ROOM]: stripped("knock") } } : {}),
  };
  return { parts, message };
}

describe.each(BEFORE)("N1: one room in several sections of an answer, before: %s", (before) => {
  test.each(CASES)("$kinds, the newest of them $newest", async (one) => {
    const me = await account(before);
    const { parts, message } = answer(me.me, one);
    expect(await me.feed(parts)).toMatchObject({ kind: "stored", toDevice: true, setAside: null });
    const expected = one.newest ?? KINDS.find((kind) => one.kinds.includes(kind));
    expect((await me.facts(ROOM)).membership).toBe(expected);
    // The content of the other sections is stored too.
    expect(await me.ids(ROOM)).toEqual(expect.arrayContaining(message.map((event) => event.event_id)));
    const types = await db.sql<{ type: string }[]>`select type from account_data where account = ${me.account} and room_id = ${ROOM} order by type`;
    expect(types.map(({ type }) => type)).toEqual(
      (["join", "leave"] as const).filter((kind) => one.kinds.includes(kind)).map((kind) => `was.${kind}`),
    );
    const invites = await db.sql<{ kind: string }[]>`select kind from invites where account = ${me.account} and room_id = ${ROOM} and not gone`;
    expect(invites.map(({ kind }) => kind)).toEqual(expected === "invite" || expected === "knock" ? [expected] : []);
    // So is the rest of the answer, and the room is read again if nothing showed which membership is the newest.
    expect((await me.facts(OTHER)).membership).toBe("join");
    expect(await db.sql`select from to_device where device = ${me.device}`).toHaveLength(1);
    expect(await db.sql`select from rereads where account = ${me.account}`).toHaveLength(one.newest === null ? 1 : 0);
    await me.step({ join: { [OTHER]: { timeline: [ev.message(me.me)] } } });
  });
});

describe("N1: which of two memberships is the newer one", () => {
  const invite = (me: string, over: Json) => [ev.member(me, "invite", {}, { sender: "@bob:test", ...over })];

  test("an event that names the other in replaces_state is newer, whatever their times", async () => {
    const me = await account("join");
    const kick = ev.member(me.me, "leave", {}, { sender: "@bob:test", origin_server_ts: 9 });
    const again = invite(me.me, { origin_server_ts: 1, unsigned: { replaces_state: kick.event_id } });
    await me.step({ leave: { [ROOM]: { timeline: [kick] } }, invite: { [ROOM]: again } });
    expect((await me.facts(ROOM)).membership).toBe("invite");
  });

  test("otherwise the later one in a timeline that has both", async () => {
    const me = await account("join");
    const invited = ev.member(me.me, "invite", {}, { sender: "@bob:test", origin_server_ts: 9 });
    const rejected = ev.member(me.me, "leave", {}, { origin_server_ts: 1 });
    await me.step({ leave: { [ROOM]: { timeline: [invited, rejected] } }, invite: { [ROOM]: [invited] } });
    expect((await me.facts(ROOM)).membership).toBe("leave");
  });

  test("a first sync of which one room has two sections leaves no other room out", async () => {
    const me = await account("unknown");
    await me.step({ join: { [OTHER]: { timeline: newRoom(me.me) } } });
    me.since = null;
    await db.sql`update accounts set since = null where account = ${me.account}`;
    await db.sql`update devices set since = null where account = ${me.account}`;
    const kick = ev.member(me.me, "leave", {}, { sender: "@bob:test" });
    const again = invite(me.me, { unsigned: { replaces_state: kick.event_id } });
    await me.step({ join: { [OTHER]: { state: newRoom(me.me) } }, leave: { [ROOM]: { timeline: [kick] } }, invite: { [ROOM]: again } });
    expect((await me.facts(OTHER)).membership).toBe("join");
    expect((await me.facts(ROOM)).membership).toBe("invite");
  });

  test.each(["invite", "leave"] as const)("a join section without events is older than the %s, and has the room not read again", async (kind) => {
    const me = await account("join");
    const kick = ev.member(me.me, "leave", {}, { sender: "@bob:test" });
    const other = kind === "invite" ? { invite: { [ROOM]: invite(me.me, {}) } } : { leave: { [ROOM]: { timeline: [kick] } } };
    await me.step({ ...other, join: { [ROOM]: { account_data: [{ type: "m.tag", content: {} }] } } });
    expect((await me.facts(ROOM)).membership).toBe(kind);
    expect(await db.sql`select from account_data where account = ${me.account} and room_id = ${ROOM} and type = 'm.tag'`).toHaveLength(1);
    expect(await db.sql`select from rereads where account = ${me.account}`).toHaveLength(0);
  });

  test("of an invite whose member event comes beside its stripped state (MSC4319) too", async () => {
    const me = await account("join");
    const kick = ev.member(me.me, "leave", {}, { sender: "@bob:test", origin_server_ts: 9 });
    const [again] = invite(me.me, { origin_server_ts: 1, unsigned: { replaces_state: kick.event_id } });
    const rooms = { leave: { [ROOM]: { timeline: { events: [kick] } } }, invite: { [ROOM]: { state: { events: [again] } } } };
    expect(await me.feed(JSON.stringify({ next_batch: "beside", rooms }))).toMatchObject({ kind: "stored" });
    expect((await me.facts(ROOM)).membership).toBe("invite");
    expect(await db.sql`select from rereads where account = ${me.account}`).toHaveLength(0);
  });
});
