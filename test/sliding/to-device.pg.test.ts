/** The to_device extension: one queue per device, whichever connection asks. */

import { describe, expect, it } from "vitest";
import { type Json, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED, SHORT, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { carry, numbered } from "../support/to-device.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

type Section = { readonly next_batch: string; readonly events: readonly Json[] };
const queueOf = (answer: Answer): Section => answer.extensions["to_device"] as Section;
const asking = (since?: string, more: Json = {}): Ask => ({ ext: { to_device: { enabled: true, ...(since !== undefined && { since }), ...more } } });

describe.each(DIALECTS)("to_device (%s)", (dialect) => {
  /** A device with one connection and this many messages. */
  async function withMessages(count: number) {
    const { client, me } = scene(t);
    const phone = new SlidingClient(client, dialect);
    const first = await phone.sync(asking());
    if (count > 0) await t.deliver(client, carry(...numbered(1, count)));
    return { client, me, phone, first };
  }
  /** Stored messages of the user's devices. */
  const stored = async (me: string) =>
    (await t.sql`select from to_device join devices using (device) join accounts using (account) where user_id = ${me}`).length;

  it("M46: with nothing queued there is an empty section with a next_batch", async () => {
    const { first, phone } = await withMessages(0);
    expect(queueOf(first)).toEqual({ next_batch: expect.any(String) as unknown, events: [] });
    const again = await phone.sync(asking(queueOf(first).next_batch), { pos: first.pos });
    expect(queueOf(again)).toEqual(queueOf(first));
  });

  it("M46: the first request has what is queued, and since acknowledges it", async () => {
    const { phone, me } = await withMessages(3);
    const first = queueOf(await phone.sync(asking()));
    expect(first.events).toEqual(numbered(1, 3));
    expect(await stored(me), "told is not acknowledged").toBe(3);
    expect(queueOf(await phone.sync(asking(first.next_batch)))).toEqual({ next_batch: first.next_batch, events: [] });
    expect(await stored(me)).toBe(0);
    expect(queueOf(await phone.sync(asking())).events, "gone for good").toEqual([]);
  });

  it("M46: what is not acknowledged is sent again, with an older since too", async () => {
    const { phone, client, first } = await withMessages(2);
    const a = await phone.sync(asking(queueOf(first).next_batch), { pos: first.pos });
    const b = await phone.sync(asking(queueOf(first).next_batch), { pos: a.pos });
    expect([queueOf(a).events, queueOf(b).events]).toEqual([numbered(1, 2), numbered(1, 2)]);
    await t.deliver(client, carry(...numbered(3, 3)));
    const c = await phone.sync(asking(queueOf(a).next_batch), { pos: b.pos });
    expect(queueOf(c).events).toEqual(numbered(3, 3));
    // The older one cannot undo the acknowledgement, but skips nothing.
    expect(queueOf(await phone.sync(asking(queueOf(first).next_batch), { pos: c.pos })).events).toEqual(numbered(3, 3));
  });

  it("M46: messages end a wait", async () => {
    const { phone, client, first } = await withMessages(0);
    const { answer } = await hangSliding(t, phone, asking(queueOf(first).next_batch), { pos: first.pos, timeout: LONG });
    await t.deliver(client, carry(...numbered(1, 2)));
    expect(queueOf(await answer).events).toEqual(numbered(1, 2));
  });

  it("M46: without messages the answer comes after the timeout, with the same next_batch", async () => {
    const { phone, first } = await withMessages(2);
    const sent = await phone.sync(asking(), { pos: first.pos });
    const { next_batch } = queueOf(sent);
    const over = await phone.sync(asking(next_batch), { pos: sent.pos, timeout: SHORT });
    expect(queueOf(over)).toEqual({ next_batch, events: [] });
  });

  it("M46: more than the limit comes with the next request, at once, in order", async () => {
    const { phone, first } = await withMessages(250);
    let since = queueOf(first).next_batch;
    const sizes: number[] = [];
    const got: unknown[] = [];
    let { pos } = first;
    for (let i = 0; i < 3; i += 1) {
      const answer = await phone.sync(asking(since), { pos, timeout: LONG });
      sizes.push(queueOf(answer).events.length);
      got.push(...queueOf(answer).events);
      [since, pos] = [queueOf(answer).next_batch, answer.pos];
    }
    expect(sizes, "a hundred where it does not say").toEqual([100, 100, 50]);
    expect(got).toEqual(numbered(1, 250));
    expect(queueOf(await phone.sync(asking(since), { pos, timeout: SHORT })).events).toEqual([]);
  });

  it("M46: limit is as asked, at most a hundred", async () => {
    const { phone } = await withMessages(120);
    const sizes = await Promise.all(
      [1, 7, 100, 5000].map(async (limit) => queueOf(await phone.sync({ ...asking(undefined, { limit }), connId: `l${limit}` })).events.length),
    );
    expect(sizes).toEqual([1, 7, 100, 100]);
    expect(queueOf(await phone.sync(asking(undefined, { limit: 2 }))).events).toEqual(numbered(1, 2));
  });

  it("M46 M2: the position is the device's and not the connection's, and outlives positions", async () => {
    const { phone, client, first } = await withMessages(2);
    const other = await phone.sync({ ...asking(), connId: "other" });
    expect(queueOf(other).events).toEqual(numbered(1, 2));
    const since = queueOf(other).next_batch;
    expect(queueOf(await phone.sync(asking(since), { pos: first.pos })).events).toEqual([]);
    await t.deliver(client, carry(...numbered(3, 4)));
    expect((await phone.request(asking(since), { pos: "gone" })).body).toEqual(UNKNOWN_POS);
    expect(queueOf(await phone.sync(asking(since))).events).toEqual(numbered(3, 4));
  });

  it("M46: a request that is refused acknowledges nothing", async () => {
    const { phone, me } = await withMessages(2);
    const { pos, ...rest } = await phone.sync(asking());
    const since = queueOf({ pos, ...rest }).next_batch;
    for (const bad of ["nonsense", "", `${pos}x`]) expect((await phone.request(asking(since), { pos: bad })).status).toBe(400);
    expect((await phone.request({ ...asking(since), more: { lists: 1 } }, { pos })).status).toBe(400);
    expect(await stored(me)).toBe(2);
  });

  it("M46 M62: another device's since, and another user's, acknowledges nothing", async () => {
    const { phone, me } = await withMessages(2);
    const tablet = new SlidingClient(t.login(me, "TABLET", carry(...numbered(5, 9))), dialect);
    const eve = await withMessages(9);
    await tablet.sync(asking());
    await t.hs.waitForPoll(tablet.client.token);
    for (const one of [tablet, eve.phone]) {
      const { next_batch, events } = queueOf(await one.sync(asking()));
      expect(events.length).toBeGreaterThan(0);
      expect(queueOf(await phone.sync(asking(next_batch))).events).toEqual(numbered(1, 2));
    }
    expect(queueOf(await tablet.sync(asking())).events).toEqual(numbered(5, 9));
  });

  it("M46 TestExtensionToDeviceSequence: a since from before our database was restored skips nothing", async () => {
    const { phone, client, me } = await withMessages(40);
    const ahead = queueOf(await phone.sync(asking())).next_batch;
    await phone.sync(asking(ahead));
    // The backup is from when there were ten messages.
    await t.sql`update devices set seq = 10 where account = (select account from accounts where user_id = ${me})`;
    await t.sql`update sessions set acked = 10 where account = (select account from accounts where user_id = ${me})`;
    await t.deliver(client, carry(...numbered(41, 42)));
    const first = queueOf(await phone.sync(asking(ahead)));
    expect(first.events).toEqual(numbered(41, 42));
    expect(queueOf(await phone.sync(asking(first.next_batch))).events).toEqual([]);
    expect(await stored(me)).toBe(0);
  });

  it("M46 M5: a restart neither loses nor repeats messages", async () => {
    const { phone, client, first } = await withMessages(2);
    await t.restart();
    const a = await phone.sync(asking(), { pos: first.pos });
    expect(queueOf(a).events).toEqual(numbered(1, 2));
    await t.restart();
    await t.hs.waitForPoll(client.token);
    await t.deliver(client, carry(...numbered(3, 3)));
    const b = await phone.sync(asking(queueOf(a).next_batch), { pos: a.pos });
    expect(queueOf(b).events).toEqual(numbered(3, 3));
  });

  it("M46 M45: messages that came while the extension was disabled are sent once it is enabled again", async () => {
    const { phone, client, first } = await withMessages(0);
    const off = await phone.sync(ALL, { pos: first.pos });
    await t.deliver(client, carry(...numbered(1, 2)));
    const still = await phone.sync(ALL, { pos: off.pos });
    expect(newsOf(still)["to_device"]).toBeUndefined();
    expect(queueOf(await phone.sync(asking(queueOf(first).next_batch), { pos: still.pos })).events).toEqual(numbered(1, 2));
  });

  it("M46: messages keep their bytes, and their order with what comes beside them", async () => {
    const { client } = scene(t);
    const phone = new SlidingClient(client, dialect);
    await phone.sync(asking());
    const odd = { type: "m.room.encrypted", sender: "@bob:test", content: { n: 1e3, ü: null, nested: [{ deep: "\u2028" }] }, extra: true };
    await t.deliver(client, v2({ to_device: [odd] }), carry(...numbered(1, 1)));
    expect(queueOf(await phone.sync(asking())).events).toEqual([odd, ...numbered(1, 1)]);
  });
});

describe("a since that we never issued", () => {
  it("M46: in the unstable dialect it acknowledges nothing: a client brings it from a native server", async () => {
    const { client } = scene(t);
    const phone = new SlidingClient(client, "unstable");
    await phone.sync(asking());
    await t.deliver(client, carry(...numbered(1, 2)));
    for (const since of ["0", "12345678", "s58_224", "", "s3d_x_1"]) {
      const queue = queueOf(await phone.sync(asking(since)));
      expect([queue.events, queue.next_batch === since]).toEqual([numbered(1, 2), false]);
    }
  });

  it("M46: in v4 it is M_INVALID_PARAM", async () => {
    const { client } = scene(t);
    const phone = new SlidingClient(client, "v4");
    for (const since of ["0", "12345678", "", "s3d_x_1"]) {
      const { status, body } = await phone.request(asking(since));
      expect([status, body["errcode"]], since).toEqual([400, "M_INVALID_PARAM"]);
    }
  });
});
