/** The thread subscriptions extension (MSC4308), from the homeserver's own sliding sync. */

import { describe, expect, it } from "vitest";
import { FakeThreads, THREADS } from "../support/fake-threads.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });
const PAGES = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions";

type Section = {
  readonly subscribed?: Record<string, Record<string, { automatic: boolean }>>;
  readonly unsubscribed?: Record<string, Record<string, object>>;
  readonly prev_batch?: string;
  readonly end?: string;
};

/** `$root automatic`, `$root manual` or `$root gone`, by root. */
function changesOf({ subscribed = {}, unsubscribed = {} }: Section): string[] {
  const on = Object.values(subscribed).flatMap((roots) =>
    Object.entries(roots).map(([root, { automatic }]) => `${root} ${automatic ? "automatic" : "manual"}`),
  );
  const off = Object.values(unsubscribed).flatMap((roots) => Object.keys(roots).map((root) => `${root} gone`));
  return [...on, ...off].toSorted();
}

describe.each(DIALECTS)("thread subscriptions (%s)", (dialect) => {
  const name = dialect === "v4" ? "thread_subscriptions" : THREADS;
  const asking = (limit?: number): Ask => ({ ...ALL, ext: { [name]: { enabled: true, ...(limit !== undefined && { limit }) } } });
  const ASK = asking();
  const sectionOf = ({ extensions }: Answer) => (extensions[name] ?? {}) as Section;
  const told = (answer: Answer) => changesOf(sectionOf(answer));

  function someone(features?: Record<string, boolean>) {
    const threads = new FakeThreads(t.hs, features);
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { token } = one.client;
    /** Waits until the poll of thread subscriptions waits. */
    const polled = async () =>
      await expect.poll(() => threads.syncs(token).some((sync) => sync.status === undefined && !sync.signal.aborted), { timeout: 20_000 }).toBe(true);
    const page = (query: string) => phone.client.fetch("GET", `${PAGES}?${query}`);
    return { ...one, threads, phone, token, polled, page };
  }

  it("M80 M81: all at first, then what changes; a retry gets the same; nobody else is asked", async () => {
    const { threads, phone, room, token, polled } = someone();
    threads.change(room, "$a", true);
    threads.change(room, "$b", false);
    threads.change(room, "$c", null);
    const plain = await phone.sync(ALL);
    expect(threads.syncs(token)).toEqual([]);
    const first = await phone.sync(ASK, { pos: plain.pos });
    const whole = told(first).length > 0 ? first : await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    expect(told(whole)).toEqual(["$a automatic", "$b manual", "$c gone"]);
    expect(sectionOf(whole)).toMatchObject({
      subscribed: { [room]: { $a: { automatic: true, bump_stamp: 1 } } },
      unsubscribed: { [room]: { $c: { bump_stamp: 3 } } },
    });
    await polled();
    const { answer } = await hangSliding(t, phone, ASK, { pos: whole.pos, timeout: LONG });
    threads.change(room, "$a", null);
    const then = await answer;
    expect(told(then)).toEqual(["$a gone"]);
    expect(told(await phone.sync(ASK, { pos: whole.pos })), "a retry").toEqual(["$a gone"]);
    expect(newsOf(await phone.sync(ASK, { pos: then.pos }))).toEqual({});
    expect(told(await phone.sync({ ...ASK, connId: "other" }))).toEqual(["$a gone", "$b manual", "$c gone"]);
    expect((await phone.sync({ ...ALL, connId: "third" })).extensions).toEqual({});
    const bodies = threads.syncs(token).map((sync) => Object.keys(JSON.parse(sync.body) as object));
    expect(new Set(bodies.flat()), "no rooms, no other extension").toEqual(new Set(["conn_id", "extensions"]));
  });

  it("M81 M5: what changes while the extension is disabled, or nobody polls, is sent afterwards", async () => {
    const { threads, phone, room, token, polled } = someone();
    threads.change(room, "$a", true);
    const first = await phone.sync(ASK);
    const whole = await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    await polled();
    const off = await phone.sync(ALL, { pos: whole.pos });
    await expect.poll(() => threads.syncs(token).every((sync) => sync.status !== undefined || sync.signal.aborted), { timeout: 20_000 }).toBe(true);
    threads.change(room, "$b", true);
    await t.restart();
    const again = await phone.sync(ASK, { pos: off.pos });
    const back = told(again).length > 0 ? again : await phone.sync(ASK, { pos: again.pos, timeout: LONG });
    expect(told(back)).toEqual(["$b automatic"]);
  });

  it("M80 M81: a connection that was not used for an hour has nobody asked; what it missed is sent when it comes back", async () => {
    const { threads, phone, room, me, token, polled } = someone();
    threads.change(room, "$a", true);
    const first = await phone.sync(ASK);
    const whole = await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    await polled();
    await t.sql`
      update sessions set used_at = used_at - interval '2 hours' where account in (select account from accounts where user_id = ${me})`;
    await expect.poll(() => threads.syncs(token).every((sync) => sync.status !== undefined || sync.signal.aborted), { timeout: 20_000 }).toBe(true);
    threads.change(room, "$b", true);
    const back = await phone.sync(ASK, { pos: whole.pos, timeout: LONG });
    expect(told(back)).toEqual(["$b automatic"]);
  });

  it("M82: the newest, and the others page by page", async () => {
    const { threads, phone, room, polled, page } = someone();
    for (let n = 100; n < 350; n += 1) threads.change(room, `$${n}`, true);
    const { pos } = await phone.sync(ASK);
    await phone.sync(ASK, { pos, timeout: LONG });
    await polled();
    const first = sectionOf(await phone.sync({ ...asking(7), connId: "few" }));
    expect(changesOf(first)).toEqual(["$343", "$344", "$345", "$346", "$347", "$348", "$349"].map((root) => `${root} automatic`));
    const seen = changesOf(first);
    let from = first.prev_batch;
    while (from !== undefined) {
      // oxlint-disable-next-line no-await-in-loop -- each goes on where the last one ended
      const { status, body } = await page(`dir=b&limit=100&from=${encodeURIComponent(from)}`);
      expect(status).toBe(200);
      seen.push(...changesOf(body as Section));
      from = (body as Section).end;
    }
    expect([seen.length, new Set(seen).size]).toEqual([250, 250]);
    const errors = await Promise.all([page("from=syncv3_threads_0_9"), page("dir=b&limit=0&from=syncv3_threads_0_9"), page("dir=b&from=syncv3_x")]);
    expect(errors.map(({ status, body }) => [status, body["errcode"]])).toEqual(Array.from({ length: 3 }, () => [400, "M_INVALID_PARAM"]));
  });

  it("M82: what is not ours is the homeserver's: other tokens, and a `to` of ours means the beginning", async () => {
    const { threads, phone, room, token, page } = someone();
    threads.change(room, "$a", true);
    const { pos } = await phone.sync(ALL);
    const { body } = await page(`dir=b&limit=5&from=ts9&to=${encodeURIComponent(pos)}`);
    expect(changesOf(body as Section)).toEqual(["$a automatic"]);
    expect(threads.pages(token).map((one) => [one.query.get("from"), one.query.get("to")])).toEqual([["ts9", null]]);
  });

  it("M83: positions that the homeserver has forgotten lose nothing, and nothing is sent twice", async () => {
    const { threads, phone, room, token, polled } = someone();
    threads.change(room, "$a", true);
    threads.change(room, "$b", true);
    const first = await phone.sync(ASK);
    const whole = await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    await polled();
    threads.forgetPositions();
    threads.change(room, "$b", false);
    const then = await phone.sync(ASK, { pos: whole.pos, timeout: LONG });
    expect(told(then)).toEqual(["$b manual"]);
    expect(threads.syncs(token).filter((sync) => sync.query.get("pos") === null)).toHaveLength(2);
  });

  it("M83: what is malformed is left out, each change alone; a broken answer is asked for again", async () => {
    const { phone, room, token, threads } = someone();
    const section = {
      subscribed: {
        [room]: {
          $fine: { automatic: true, bump_stamp: 1 },
          $odd: 7,
          $unstamped: { automatic: true },
          $minus: { automatic: true, bump_stamp: -1 },
          [`$${"x".repeat(300)}`]: {},
          "": {},
        },
        "no room": { $a: {} },
        "!list:test": [],
      },
      unsubscribed: "nothing",
      prev_batch: 9,
    };
    const path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    t.hs.fail({ path, token }, { body: '{"pos":' });
    t.hs.fail({ path, token }, { body: { rooms: {} } });
    t.hs.fail({ path, token }, { body: { pos: "1/0", extensions: { [THREADS]: section } } });
    const { pos } = await phone.sync(ASK);
    const then = await phone.sync(ASK, { pos, timeout: LONG });
    expect(told(then)).toEqual(["$fine automatic"]);
    expect(threads.syncs(token).length).toBeGreaterThanOrEqual(3);
  });

  it("M80: of a homeserver without them the section is absent, and it is not asked", async () => {
    const { threads, phone, token } = someone({ "org.matrix.msc4306": true });
    const first = await phone.sync(ASK);
    await t.hs.waitForRequest({ path: "/_matrix/client/versions", token });
    expect((await phone.sync(ASK, { pos: first.pos })).extensions).toEqual({});
    expect(threads.syncs(token)).toEqual([]);
  });
});
