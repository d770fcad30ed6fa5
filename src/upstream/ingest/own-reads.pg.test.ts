/** Unread counts beside the user's own receipts (T24): what Dendrite counts too late, and what no homeserver's receipt makes untrue. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ev, newRoom, receipt, type RoomParts } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

const unread = (notification_count: number, highlight_count = 0) => ({ notification_count, highlight_count });
const step = (parts: RoomParts) => me.step({ join: { [ROOM]: parts } });
const counts = async () => {
  const { notification_count, highlight_count } = await me.facts(ROOM);
  return [notification_count, highlight_count];
};
let tokens = 0;
/** Events that follow what is stored, as homeservers send them. */
const following = (...timeline: RoomParts["timeline"] & object) => ({ timeline, prev_batch: `p${(tokens += 1)}` });
/** The user's own. */
const ownReceipt = (event: string, thread?: string, kind = "m.read") =>
  receipt(event, me.me, kind, { ts: 1_700_000_000_000, ...(thread !== undefined && { thread_id: thread }) });

/** A room that the user has been in for a while, with a newest event that is not read; that event's id. */
async function unreadRoom(): Promise<string> {
  await step({ state: newRoom(BOB), timeline: [ev.member(me.me)], unread: unread(0) });
  const newest = ev.message(BOB);
  await step({ ...following(ev.message(BOB), newest), unread: unread(2, 1) });
  expect(await counts()).toEqual([2, 1]);
  return newest.event_id;
}

describe("T24: a count that the homeserver tells beside the user's receipt on the newest event is 0", () => {
  test.each(["m.read", "m.read.private"])("T24: %s in the same answer as the old count", async (kind) => {
    const newest = await unreadRoom();
    await step({ ephemeral: [ownReceipt(newest, undefined, kind)], unread: unread(2, 1) });
    expect(await counts()).toEqual([0, 0]);
  });

  test("T24: in an earlier answer, and in one without a count", async () => {
    const newest = await unreadRoom();
    await step({ ephemeral: [ownReceipt(newest)] });
    expect(await counts()).toEqual([0, 0]);
    await step({ ephemeral: [{ type: "m.typing", content: { user_ids: [BOB] } }], unread: unread(2, 1) });
    expect(await counts()).toEqual([0, 0]);
  });

  test("T24: on an event of the same answer", async () => {
    await unreadRoom();
    const newest = ev.message(BOB);
    await step({ ...following(newest), ephemeral: [ownReceipt(newest.event_id)], unread: unread(3, 1) });
    expect(await counts()).toEqual([0, 0]);
  });
});

describe("T24: every other count is the homeserver's", () => {
  test("T24: what comes after the receipt counts", async () => {
    const newest = await unreadRoom();
    await step({ ephemeral: [ownReceipt(newest)], unread: unread(2) });
    await step({ ...following(ev.message(BOB)), unread: unread(1) });
    expect(await counts()).toEqual([1, 0]);
    await step({ ephemeral: [{ type: "m.typing", content: { user_ids: [BOB] } }], unread: unread(1) });
    expect(await counts()).toEqual([1, 0]);
  });

  test("T24: a receipt in a thread, of another user, of another kind, or on an older event says nothing of the rest", async () => {
    await step({ state: newRoom(BOB), timeline: [ev.member(me.me)] });
    const [older, newest] = [ev.message(BOB), ev.message(BOB)];
    await step({ ...following(older, newest), unread: unread(2) });
    for (const each of [
      ownReceipt(newest.event_id, "main"),
      ownReceipt(newest.event_id, older.event_id),
      ownReceipt(newest.event_id, undefined, "m.other"),
      receipt(newest.event_id, BOB),
      ownReceipt(older.event_id),
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each is an answer
      await step({ ephemeral: [each], unread: unread(1) });
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await counts()).toEqual([1, 0]);
    }
  });

  test("T24: where the order of events is not that in which they came: in a first answer, and after a gap", async () => {
    const newest = ev.message(BOB);
    const first = { state: newRoom(BOB), timeline: [ev.member(me.me), newest], prev_batch: "p", ephemeral: [ownReceipt(newest.event_id)] };
    await step({ ...first, unread: unread(1) });
    expect(await counts()).toEqual([1, 0]);
    await step({ ephemeral: [ownReceipt(newest.event_id)], unread: unread(1) });
    expect(await counts()).toEqual([1, 0]);
    const later = ev.message(BOB);
    await step({ ...following(later), limited: true, ephemeral: [ownReceipt(later.event_id)], unread: unread(1) });
    expect(await counts()).toEqual([1, 0]);
  });

  test("T24: of another room and of another account's receipts nothing follows", async () => {
    const newest = await unreadRoom();
    await me.step({ join: { "!b:test": { state: newRoom(BOB), timeline: [ev.member(me.me)], ephemeral: [ownReceipt(newest)] } } });
    await step({ ephemeral: [{ type: "m.typing", content: { user_ids: [] } }], unread: unread(2, 1) });
    expect(await counts()).toEqual([2, 1]);
  });
});

/** A homeserver's room: what it has, what the user has read, and how it counts. */
type Move = { readonly kind: "message" | "quiet" | "own" | "read" | "private" | "read in the main thread" | "typing"; readonly of: number };
const moves = fc.array(
  fc.record({
    kind: fc.constantFrom<Move["kind"]>("message", "message", "quiet", "own", "read", "private", "read in the main thread", "typing"),
    of: fc.nat({ max: 5 }),
  }),
  { minLength: 1, maxLength: 12 },
);

describe("T24: over random histories", () => {
  test("T24: the counts of a homeserver that counts rightly pass unchanged; of one that counts late only those beside a receipt on the newest event differ, and are 0", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(moves, { minLength: 1, maxLength: 8 }), fc.boolean(), async (answers, isLate) => {
        run += 1;
        const room = `!random${run}:test`;
        await me.step({ join: { [room]: { state: newRoom(BOB), timeline: [ev.member(me.me)], unread: unread(0) } } });
        const events: { readonly id: string; readonly notifies: boolean }[] = [];
        /** How far is read: by a receipt for all threads, and by one for the main thread, in which half of the messages are. */
        let [read, readMain] = [0, 0];
        const count = () => events.filter(({ notifies }, at) => notifies && at >= read && (at % 2 === 1 || at >= readMain)).length;
        let told = 0;
        for (const answer of answers) {
          const timeline = [];
          const ephemeral = [];
          for (const { kind, of } of answer) {
            const at = events.length - 1 - of;
            const target = events[at];
            if (kind === "message" || kind === "quiet" || kind === "own") {
              const event = ev.message(kind === "own" ? me.me : BOB);
              timeline.push(event);
              events.push({ id: event.event_id, notifies: kind === "message" });
            } else if (target && kind === "read in the main thread" && at + 1 > readMain) {
              readMain = at + 1;
              ephemeral.push(ownReceipt(target.id, "main"));
            } else if (target && kind !== "typing" && kind !== "read in the main thread" && at + 1 > read) {
              read = at + 1;
              ephemeral.push(ownReceipt(target.id, undefined, kind === "read" ? "m.read" : "m.read.private"));
            }
          }
          const isCounted = !isLate || timeline.length > 0;
          told = isCounted ? count() : told;
          const parts = { ...(timeline.length > 0 && following(...timeline)), ephemeral, unread: unread(told) };
          // oxlint-disable-next-line no-await-in-loop -- one answer after the other
          await me.step({ join: { [room]: parts } });
          // oxlint-disable-next-line no-await-in-loop -- as above
          const { notification_count: shown } = await me.facts(room);
          if (!isLate) expect(shown).toBe(count());
          else expect(shown).toBe(read === events.length && events.length > 0 ? 0 : told);
        }
      }),
      { numRuns: 40 },
    );
  });
});
