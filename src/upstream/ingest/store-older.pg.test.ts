import { describe, expect, test } from "vitest";

import { ev, newRoom } from "../../../test/support/events.ts";
import type { MatrixEvent } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";
import type { Position, RoomId } from "../../wire/ids.ts";
import type { OlderResult } from "./store-older.ts";
import { storeOlder } from "./store-older.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

function older(events: readonly MatrixEvent[], state: readonly MatrixEvent[], prevBatch: string | null, from?: string): Promise<OlderResult> {
  const texts = (list: readonly MatrixEvent[]) => list.map((event) => JSON.stringify(event));
  return storeOlder(
    { sql: me.sql },
    {
      account: me.account,
      roomId: ROOM as RoomId,
      events: texts(events),
      state: texts(state),
      prevBatch,
      position: 0 as Position,
      now: me.now,
      ...(from && { from }),
    },
  );
}
const chunks = () => me.sql`select idx, prev_batch, state from older_chunks where account = ${me.account} order by idx desc`;

describe("fetched history", () => {
  test("chunks go below each other, without members in their state; known events are skipped", async () => {
    const [create, member, levels] = newRoom(me.me) as [MatrixEvent, MatrixEvent, MatrixEvent];
    const messages = [1, 2, 3, 4, 5].map((n) => ev.message(BOB, String(n))) as [MatrixEvent, MatrixEvent, MatrixEvent, MatrixEvent, MatrixEvent];
    const newest = ev.message(BOB);
    const position = await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: [create, member], timeline: [newest] } } });
    expect(await older([newest, messages[4], messages[3], messages[3]], [create, member, levels], "p1")).toEqual({ stored: 2, oldest: -2 });
    expect(await older([messages[2], messages[1]], [create], null)).toEqual({ stored: 2, oldest: -4 });
    const rows = await me.sql`select idx, event_id from older where account = ${me.account} order by idx desc`;
    expect(rows.map((row) => Object.values(row))).toEqual([
      [-1, messages[4].event_id],
      [-2, messages[3].event_id],
      [-3, messages[2].event_id],
      [-4, messages[1].event_id],
    ]);
    expect((await chunks()).map((row) => Object.values(row))).toEqual([
      [-2, "p1", JSON.stringify([create.event_id, levels.event_id])],
      [-4, null, JSON.stringify([create.event_id])],
    ]);
    expect(await me.position()).toBe(position);
    expect((await me.body(levels.event_id)).pruned).toBe(false);
    // The same again: nothing but the chunk's end.
    expect(await older([messages[2], messages[1]], [create], "p3")).toEqual({ stored: 0, oldest: -4 });
    expect((await chunks()).at(-1)?.["prev_batch"]).toBe("p3");
  });

  test("a shorter chunk from the same point, fetched at the same time, changes nothing", async () => {
    const [create, member] = newRoom(me.me) as [MatrixEvent, MatrixEvent];
    const messages = [1, 2, 3, 4].map((n) => ev.message(BOB, String(n))).toReversed();
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: [create, member], timeline: [ev.message(BOB)] } } });
    await older(messages, [create], "p4");
    const before = await chunks();
    expect(await older(messages.slice(0, 2), [create, ev.topic(BOB, "later")], "p2")).toEqual({ stored: 0, oldest: -4 });
    expect(await chunks()).toEqual(before);
  });

  test("T2: nothing is stored where the history was deleted meanwhile", async () => {
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: newRoom(me.me), timeline: [ev.message(BOB)] } } });
    await older([ev.message(BOB)], [], "p1", "p");
    await me.sql`delete from older where account = ${me.account}`;
    await me.sql`delete from older_chunks where account = ${me.account}`;
    expect(await older([ev.message(BOB)], [], "p2", "p1")).toEqual({ stored: 0, oldest: 0 });
    expect(await chunks()).toEqual([]);
  });

  test("history in a later timeline is known (B35), and its redaction is recorded", async () => {
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: newRoom(me.me), timeline: [ev.message(BOB)] } } });
    const old = ev.message(BOB, "secret");
    await older([old], [], null);
    await me.step({ join: { [ROOM]: { timeline: [old, ev.redaction(BOB, old.event_id)] } } });
    expect(await me.ids(ROOM)).not.toContain(old.event_id);
    const [row] = await me.sql`select unsigned from older where account = ${me.account}`;
    expect(String(row?.["unsigned"])).toContain("redacted_because");
    expect((await me.body(old.event_id)).pruned).toBe(true);
  });

  test("the room's beginning: an empty chunk says that nothing is older", async () => {
    await me.step({ join: { [ROOM]: { state: newRoom(me.me), timeline: [ev.message(BOB)] } } });
    expect(await older([], [], null)).toEqual({ stored: 0, oldest: 0 });
    expect((await chunks()).map((row) => Object.values(row))).toEqual([[0, null, "[]"]]);
  });
});
