import { beforeEach, describe, expect, test } from "vitest";

import { ev, newRoom, receipt, typing } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import { TestAccount } from "../../../test/support/test-account.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

beforeEach(async () => {
  await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
});

describe("typing, receipts, account data, presence", () => {
  test("TestTypingTable: each new set has a larger ordinal; the same set, in any order, is not news (B53)", async () => {
    const stored = async () => {
      const [row] = await me.sql`select users, ord from typing where account = ${me.account}`;
      return row && { users: JSON.parse(String(row["users"])) as unknown, ord: Number(row["ord"]) };
    };
    const none = await me.position();
    expect(await me.step({ join: { [ROOM]: { ephemeral: [typing()] } } })).toBe(none);
    const one = await me.step({ join: { [ROOM]: { ephemeral: [typing("@alice:test", BOB)] } } });
    expect(await stored()).toEqual({ users: ["@alice:test", BOB], ord: one });
    expect(await me.step({ join: { [ROOM]: { ephemeral: [typing(BOB, "@alice:test")] } } })).toBe(one);
    expect(await me.step({ join: { [ROOM]: { timeline: [] } } })).toBe(one);
    const two = await me.step({ join: { [ROOM]: { ephemeral: [typing(BOB, "@charlie:test")] } } });
    expect(two).toBeGreaterThan(one);
    const three = await me.step({ join: { [ROOM]: { ephemeral: [typing()] } } });
    expect(await stored()).toEqual({ users: [], ord: three });
  });

  test("receipts: one per user, kind and thread; the same again is not news", async () => {
    const one = await me.step({ join: { [ROOM]: { ephemeral: [receipt("$1", BOB), receipt("$1", me.me, "m.read.private")] } } });
    expect(await me.step({ join: { [ROOM]: { ephemeral: [receipt("$1", BOB)] } } })).toBe(one);
    await me.step({ join: { [ROOM]: { ephemeral: [receipt("$2", BOB), receipt("$2", BOB, "m.read", { ts: 1, thread_id: "$t" })] } } });
    const rows = await me.sql`select user_id, kind, thread_id, event_id from receipts where account = ${me.account} order by user_id, thread_id`;
    expect(rows.map((row) => Object.values(row))).toEqual([
      [BOB, "m.read", "", "$2"],
      [BOB, "m.read", "$t", "$2"],
      [me.me, "m.read.private", "", "$1"],
    ]);
  });

  test("account data: global and of rooms, the latest of each type; unchanged data is not news", async () => {
    const global = { type: "x", content: { a: 1 } };
    const one = await me.step({ account_data: [global], join: { [ROOM]: { account_data: [{ type: "x", content: { a: 2 } }] } } });
    expect(await me.step({ account_data: [global] })).toBe(one);
    await me.step({ account_data: [{ type: "x", content: { a: 3 } }] });
    const rows = await me.sql`select room_id, body from account_data where account = ${me.account} order by room_id`;
    expect(rows.map((row) => [row["room_id"], JSON.parse(String(row["body"]))])).toEqual([
      ["", { type: "x", content: { a: 3 } }],
      [ROOM, { type: "x", content: { a: 2 } }],
    ]);
  });

  test("presence: the latest of each user", async () => {
    const presence = (state: string) => ({ presence: [{ type: "m.presence", sender: BOB, content: { presence: state } }] });
    const one = await me.step(presence("online"));
    expect(await me.step(presence("online"))).toBe(one);
    expect(await me.step(presence("offline"))).toBe(one + 1);
  });

  test("D25 T2: the ignored users are stored, and who is no longer ignored is noted until ignored again", async () => {
    const ignore = (...ids: string[]) => ({
      account_data: [{ type: "m.ignored_user_list", content: { ignored_users: Object.fromEntries(ids.map((id) => [id, {}])) } }],
    });
    const unignored = async () =>
      (await me.sql`select user_id from unignored_users where account = ${me.account}`).map((row) => String(row["user_id"]));
    await me.step(ignore(BOB, "@eve:test"));
    const [row] = await me.sql`select ignored from accounts where account = ${me.account}`;
    expect(row).toEqual({ ignored: JSON.stringify([BOB, "@eve:test"]) });
    await me.step(ignore(BOB));
    expect(await unignored()).toEqual(["@eve:test"]);
    await me.step(ignore(BOB, "@eve:test"));
    expect(await unignored()).toEqual([]);
  });
});

describe("redactions (B48, TestEventTableRedact)", () => {
  const unsignedOf = async (id: string, table = "timeline"): Promise<Record<string, unknown>> => {
    const [row] = await me.sql`select unsigned from ${me.sql(table)} where event_id = ${id} and account = ${me.account}`;
    return JSON.parse(String(row?.["unsigned"])) as Record<string, unknown>;
  };
  const contentOf = async (id: string): Promise<unknown> => (JSON.parse((await me.body(id)).body) as { content: unknown }).content;

  test("of a stored event: the body is pruned for good, and the rows have the redaction", async () => {
    const message = ev.message(BOB, "secret", { unsigned: { other: { x: 1 } } });
    await me.step({ join: { [ROOM]: { timeline: [message] } } });
    const redaction = ev.redaction(BOB, message.event_id);
    await me.step({ join: { [ROOM]: { timeline: [redaction] } } });
    expect(await contentOf(message.event_id)).toEqual({});
    expect((await me.body(message.event_id)).pruned).toBe(true);
    expect(await unsignedOf(message.event_id)).toEqual({
      other: { x: 1 },
      redacted_because: expect.objectContaining({ event_id: redaction.event_id, room_id: ROOM }) as unknown,
    });
    // Another account receives the full version later.
    const other = await TestAccount.create(me.sql, "@other1:test");
    await other.step({ join: { [ROOM]: { timeline: [message] } } });
    expect(await contentOf(message.event_id)).toEqual({});
  });

  test("in the same batch, before its target and after it", async () => {
    const [one, two] = [ev.message(BOB, "secret"), ev.message(BOB, "secret")];
    await me.step({ join: { [ROOM]: { timeline: [ev.redaction(BOB, one.event_id), one, two, ev.redaction(BOB, two.event_id)] } } });
    for (const { event_id } of [one, two]) {
      expect(await contentOf(event_id)).toEqual({});
      expect(await unsignedOf(event_id)).toHaveProperty("redacted_because");
    }
  });

  test("an event that comes redacted replaces the full one", async () => {
    const message = ev.message(BOB, "secret");
    await me.step({ join: { [ROOM]: { timeline: [message] } } });
    const other = await TestAccount.create(me.sql, "@other2:test");
    await other.step({ join: { [ROOM]: { timeline: [{ ...message, content: {}, unsigned: { redacted_because: { type: "m.room.redaction" } } }] } } });
    expect(await me.body(message.event_id)).toMatchObject({ pruned: true });
    expect(await contentOf(message.event_id)).toEqual({});
  });

  test("an event that comes again, redacted now", async () => {
    const name = ev.name(BOB, "secret");
    await me.step({ join: { [ROOM]: { timeline: [name] } } });
    await me.step({ join: { [ROOM]: { state: [{ ...name, content: {}, unsigned: { redacted_because: { type: "m.room.redaction" } } }] } } });
    expect(await contentOf(name.event_id)).toEqual({});
    expect(await unsignedOf(name.event_id)).toHaveProperty("redacted_because");
    expect(await unsignedOf(name.event_id, "state")).toHaveProperty("redacted_because");
    expect(await me.facts(ROOM)).not.toHaveProperty("name");
  });

  test("of an event in another room, it does nothing", async () => {
    const message = ev.message(BOB, "stays");
    await me.step({ join: { [ROOM]: { timeline: [message] }, "!b:test": { timeline: newRoom(BOB) } } });
    await me.step({ join: { "!b:test": { timeline: [ev.redaction(BOB, message.event_id)] } } });
    expect(await me.body(message.event_id)).toMatchObject({ pruned: false });
  });

  test("names and avatars that were redacted are gone from the facts", async () => {
    const name = ev.name(me.me, "secret");
    const avatar = ev.state("m.room.avatar", "", me.me, { url: "mxc://a/b" });
    const bob = ev.member(BOB, "join", { displayname: "Secret Bob" });
    await me.step({ join: { [ROOM]: { timeline: [name, avatar, bob], summary: { "m.heroes": [BOB], "m.joined_member_count": 2 } } } });
    expect(await me.facts(ROOM)).toMatchObject({ name: "secret", avatar: "mxc://a/b" });
    await me.step({ join: { [ROOM]: { timeline: [ev.redaction(me.me, name.event_id), ev.redaction(me.me, avatar.event_id)] } } });
    expect((await me.facts(ROOM)).name).toBe("Secret Bob");
    expect(await me.facts(ROOM)).not.toHaveProperty("avatar");
    await me.step({ join: { [ROOM]: { timeline: [ev.redaction(BOB, bob.event_id)] } } });
    expect((await me.facts(ROOM)).name).toBe(BOB);
    const [row] =
      await me.sql`select membership, sort_name from members where account = ${me.account} and event_id = ${bob.event_id} order by from_ord desc`;
    expect(row).toEqual({ membership: "join", sort_name: "bob:test" });
    // Redacting an event that was replaced already removes nothing else.
    const [old, now] = [ev.name(me.me, "old"), ev.name(me.me, "now")];
    await me.step({ join: { [ROOM]: { timeline: [old, now] } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.redaction(me.me, old.event_id)] } } });
    expect((await me.facts(ROOM)).name).toBe("now");
  });
});
