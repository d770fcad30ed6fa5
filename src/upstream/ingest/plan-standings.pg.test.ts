import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, type Json, newRoom, type RoomParts } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";

const ALICE = "@alice:test";
const ROOM = "!a:test";
let db: TestDatabase;
let count = 0;
let a: TestAccount;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  count += 1;
  a = await TestAccount.create(db.sql, `@me${count}:test`);
});

type Standing = {
  readonly changed_ord: number;
  readonly membership_ord: number;
  readonly active_ord: number;
  readonly bump_ord: number;
  readonly kicked: boolean;
  readonly ever_joined: boolean;
  readonly inviter: string | null;
  readonly ended_ord: number;
};
async function standing(room = ROOM): Promise<Standing> {
  const [row] = await db.sql<Standing[]>`
    select changed_ord, membership_ord, active_ord, bump_ord, kicked, ever_joined, inviter, ended_ord from standings
    where account = ${a.account} and room_id = ${room}`;
  if (!row) throw new Error(`${room} has no standing`);
  return row;
}
/** Room ids, newest activity first. */
async function order(by: "active_ord" | "bump_ord" = "active_ord"): Promise<string[]> {
  const rows = await db.sql<{ room_id: string }[]>`
    select room_id from standings where account = ${a.account} order by ${db.sql(by)} desc`;
  return rows.map((row) => row.room_id);
}
const at = (ts: number) => ({ origin_server_ts: ts });
const room = (...timeline: Json[]): RoomParts => ({ state: newRoom(ALICE), timeline });
const invited = (sender = ALICE): Json[] => [{ type: "m.room.member", state_key: a.me, sender, content: { membership: "invite" } }];
const own = (membership: string, sender: string = a.me) => ({ timeline: [ev.member(a.me, membership, {}, { sender })] });
const rejoin = (): RoomParts => ({ state: newRoom(ALICE), timeline: [ev.member(a.me)], limited: true, prev_batch: "p" });

describe("the order of rooms", () => {
  it("M10: within a batch it follows the times of their newest events, at most now, each with an ordinal of its own", async () => {
    const future = a.now + 1_000_000;
    const position = await a.step({
      join: {
        "!mid:test": room(ev.message(ALICE, "", at(9000)), ev.topic(ALICE, "", at(5000))),
        "!old:test": room(ev.message(ALICE, "", at(1000))),
        "!future:test": room(ev.message(ALICE, "", at(future))),
        "!new:test": room(ev.message(ALICE, "", at(8000))),
      },
    });
    expect(await order()).toEqual(["!future:test", "!new:test", "!mid:test", "!old:test"]);
    const ords = await Promise.all((await order()).map(async (id) => (await standing(id)).active_ord));
    expect(new Set(ords).size).toBe(4);
    expect(ords.every((ord) => ord > 0 && ord <= position)).toBe(true);
    // Later events are above it, whatever their own time.
    await a.step({ join: { "!old:test": { timeline: [ev.message(ALICE, "", at(2))] }, "!mid:test": { timeline: [ev.message(ALICE, "", at(1))] } } });
    expect(await order()).toEqual(["!old:test", "!mid:test", "!future:test", "!new:test"]);
  });

  it("M10: rooms with equal times are ordered by their ids; a room without events by its creation", async () => {
    await a.step({
      join: {
        "!b:test": room(ev.message(ALICE, "", at(5000))),
        "!a:test": room(ev.message(ALICE, "", at(5000))),
        "!made:test": { state: [ev.create(ALICE, {}, at(6000)), ev.member(a.me)] },
      },
    });
    expect(await order()).toEqual(["!made:test", "!b:test", "!a:test"]);
  });

  it("M10: a change without an event does not move a room", async () => {
    await a.step({ join: { "!a:test": room(ev.message(ALICE, "", at(1))), "!b:test": room(ev.message(ALICE, "", at(2))) } });
    const before = await standing();
    const position = await a.step({ join: { "!a:test": { unread: { notification_count: 3 }, summary: { "m.joined_member_count": 9 } } } });
    expect(await standing()).toEqual({ ...before, changed_ord: position });
    const same = await a.step({ join: { "!a:test": { ephemeral: [{ type: "m.typing", content: { user_ids: [ALICE] } }] } } });
    expect([(await standing()).changed_ord, same > position]).toEqual([position, true]);
  });

  it("M10: an invite, a leave and a kick move the room up; a repeated invite does not", async () => {
    await a.step({ join: { "!a:test": room(ev.message(ALICE)), "!b:test": room(ev.message(ALICE)), "!c:test": room(ev.message(ALICE)) } });
    await a.step({ invite: { "!i:test": invited() } });
    expect((await order())[0]).toBe("!i:test");
    await a.step({ leave: { "!a:test": own("leave") } });
    expect((await order())[0]).toBe("!a:test");
    await a.step({ invite: { "!i:test": [...invited(), { type: "m.room.topic", state_key: "", sender: ALICE, content: {} }] } });
    expect((await standing("!i:test")).changed_ord).toBe(await a.position());
  });
});

describe("bump stamps", () => {
  it("M28: are raised only by events that count as activity", async () => {
    await a.step({ join: { [ROOM]: room(ev.message(ALICE)) } });
    let { bump_ord } = await standing();
    const quiet = [
      ev.topic(ALICE, "t"),
      ev.member("@b:test"),
      ev.event("m.reaction", ALICE, {}),
      ev.redaction(ALICE, "$none"),
      ev.event("org.other", ALICE, {}),
    ];
    for (const event of quiet) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await a.step({ join: { [ROOM]: { timeline: [event] } } });
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await standing()).bump_ord, event.type).toBe(bump_ord);
    }
    for (const type of ["m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start", "m.beacon_info", "m.room.message"]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await a.step({ join: { [ROOM]: { timeline: [ev.event(type, ALICE, {}), ev.topic(ALICE, type)] } } });
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const now = await standing();
      expect(now.bump_ord, type).toBeGreaterThan(bump_ord);
      ({ bump_ord } = now);
    }
  });

  it("M28: follow the order of the events that count in a first batch", async () => {
    await a.step({
      join: {
        "!a:test": room(ev.message(ALICE, "", at(1000)), ev.topic(ALICE, "", at(9000))),
        "!b:test": room(ev.message(ALICE, "", at(2000))),
      },
    });
    expect(await order("bump_ord")).toEqual(["!b:test", "!a:test"]);
    expect(await order("active_ord")).toEqual(["!a:test", "!b:test"]);
  });

  it("M28: follow the membership change if the user is not in the room", async () => {
    await a.step({ join: { [ROOM]: room(ev.message(ALICE)), "!b:test": room(ev.message(ALICE)) }, invite: { "!i:test": invited() } });
    expect((await order("bump_ord"))[0]).toBe("!i:test");
    await a.step({ join: { "!b:test": { timeline: [ev.message(ALICE)] } } });
    await a.step({ leave: { [ROOM]: own("leave") } });
    expect((await order("bump_ord"))[0]).toBe(ROOM);
  });
});

describe("the user's membership of a room", () => {
  it("M9: a user is kicked if someone else made them leave, and not if they were banned, left, or came back", async () => {
    await a.step({ join: { "!kick:test": room(), "!ban:test": room(), "!left:test": room() } });
    await a.step({ leave: { "!kick:test": own("leave", ALICE), "!ban:test": own("ban", ALICE), "!left:test": own("leave") } });
    expect((await standing("!kick:test")).kicked).toBe(true);
    expect([(await standing("!ban:test")).kicked, (await standing("!left:test")).kicked]).toEqual([false, false]);
    await a.step({ account_data: [{ type: "m.direct", content: { [ALICE]: ["!kick:test"] } }] });
    expect((await standing("!kick:test")).kicked).toBe(true);
    await a.step({ join: { "!kick:test": rejoin() } });
    expect((await standing("!kick:test")).kicked).toBe(false);
  });

  it("M9: ever_joined: once joined it stays so; invited, knocked or banned before is not", async () => {
    await a.step({
      join: { "!in:test": room() },
      invite: { "!i:test": invited() },
      leave: {
        "!ban:test": own("ban", ALICE),
        "!old:test": { timeline: [ev.member(a.me, "leave", {}, { unsigned: { prev_content: { membership: "join" } } })] },
      },
    });
    const ever = async (...ids: string[]) => Promise.all(ids.map(async (id) => (await standing(id)).ever_joined));
    expect(await ever("!in:test", "!i:test", "!ban:test")).toEqual([true, false, false]);
    await a.step({ leave: { "!in:test": own("leave"), "!i:test": own("leave") } });
    expect(await ever("!in:test", "!i:test")).toEqual([true, false]);
    await a.step({ invite: { "!in:test": invited() } });
    await a.step({ leave: { "!in:test": own("ban", ALICE) } });
    expect(await ever("!in:test")).toEqual([true]);
  });

  it("M33: membership_ord is when the user's membership last changed", async () => {
    const joined = await a.step({ join: { [ROOM]: room(ev.message(ALICE)) } });
    await a.step({ join: { [ROOM]: { timeline: [ev.message(ALICE)] } } });
    expect((await standing()).membership_ord).toBe(joined);
    const left = await a.step({ leave: { [ROOM]: own("leave") } });
    expect((await standing()).membership_ord).toBe(left);
    const back = await a.step({ join: { [ROOM]: rejoin() } });
    expect((await standing()).membership_ord).toBe(back);
  });

  it("M18: inviter is the sender of the newest invite while the invite is pending", async () => {
    await a.step({ invite: { [ROOM]: invited("@first:test") } });
    expect((await standing()).inviter).toBe("@first:test");
    await a.step({ invite: { [ROOM]: invited("@second:test") } });
    expect((await standing()).inviter).toBe("@second:test");
    await a.step({ join: { [ROOM]: rejoin() } });
    expect(await standing()).toMatchObject({ ever_joined: true, inviter: "@second:test" });
  });

  it("M96: ended_ord is when state or a member last ended that nothing replaced", async () => {
    await a.step({ join: { [ROOM]: { ...room(ev.message(ALICE)), state: [...newRoom(ALICE), ev.topic(ALICE, "tea"), ev.member("@bob:test")] } } });
    await a.step({ join: { [ROOM]: { timeline: [ev.topic(ALICE, "coffee"), ev.member("@bob:test", "leave"), ev.name(ALICE, "N")] } } });
    await a.step({ join: { [ROOM]: { timeline: [ev.topic(ALICE, "milk")], limited: true, prev_batch: "p" } } });
    expect((await standing()).ended_ord, "each was replaced").toBe(0);
    await a.step({ leave: { [ROOM]: own("leave") } });
    const without = await a.step({ join: { [ROOM]: rejoin() } });
    expect((await standing()).ended_ord, "the name and the topic are gone").toBe(without);
    await a.step({ join: { [ROOM]: { timeline: [ev.name(ALICE, "M")] } } });
    expect((await standing()).ended_ord, "it stays").toBe(without);
  });

  it("M9: every room with facts has a standing", async () => {
    await a.step({
      join: { "!j:test": room() },
      invite: { "!i:test": invited() },
      knock: { "!k:test": invited(a.me) },
      leave: { "!l:test": own("leave") },
    });
    const rows =
      await db.sql`select from room_facts f left join standings s using (account, room_id) where f.account = ${a.account} and s.room_id is null`;
    expect(rows).toHaveLength(0);
    expect((await order()).toSorted()).toEqual(["!i:test", "!j:test", "!k:test", "!l:test"]);
  });
});
