/** The presence extension. */

import { describe, expect, it } from "vitest";
import { deleteUnwantedPresence } from "../../src/store/retention/devices.ts";
import { writeTx } from "../../src/store/db.ts";
import { type FakeRequest, type Json, v2 } from "../support/fake-homeserver.ts";
import { asksForPresence } from "../support/single-section-polls.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const [BOB, CAROL] = ["@bob:test", "@carol:test"];
const ASK: Ask = { ...ALL, ext: { presence: { enabled: true } } };

const presence = (sender: string, state: string, more: Json = {}): Json => ({ type: "m.presence", sender, content: { presence: state, ...more } });

/** State by user. */
const statesOf = (answer: Answer): Record<string, string> =>
  Object.fromEntries(
    ((answer.extensions["presence"]?.events ?? []) as { sender: string; content: { presence: string } }[]).map((event) => [
      event.sender,
      event.content.presence,
    ]),
  );

describe.each(DIALECTS)("presence (%s)", (dialect) => {
  function someone() {
    const one = scene(t, { others: [BOB, CAROL] });
    const phone = new SlidingClient(one.client, dialect);
    const { token } = one.client;
    const isRoomPoll = (request: FakeRequest) => !asksForPresence(request) && !request.signal.aborted && request.status === undefined;
    /** Waits until the waiting poll asks, or does not ask, for presence. */
    const polled = async (wanted: boolean) => {
      await expect
        .poll(() => t.hs.polls(token).filter(isRoomPoll).at(-1)?.query.get("filter")?.includes('"presence"'), { timeout: 20_000 })
        .toBe(!wanted);
      return t.hs.waitForPoll(token);
    };
    const questions = () => t.hs.polls(token).filter(asksForPresence);
    const tell = (...events: Json[]) => t.deliver(one.client, v2({ presence: events }));
    return { ...one, phone, token, polled, questions, tell };
  }

  it("M75 M77: everybody's at first, once the homeserver was asked; then what changes; a retry gets the same", async () => {
    const { phone, token, polled, questions, tell } = someone();
    const plain = await phone.sync(ALL);
    expect(questions()).toHaveLength(0);
    t.hs.setPresence(token, presence(BOB, "online"), presence(CAROL, "unavailable"));
    const first = await phone.sync(ASK, { pos: plain.pos });
    const whole = await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    expect({ ...statesOf(first), ...statesOf(whole) }).toEqual({ [BOB]: "online", [CAROL]: "unavailable" });
    await polled(true);
    expect(questions().map((question) => [question.query.get("since"), question.query.get("set_presence")])).toEqual([[null, "offline"]]);
    await tell(presence(BOB, "offline"));
    const then = await phone.sync(ASK, { pos: whole.pos });
    expect(statesOf(then)).toEqual({ [BOB]: "offline" });
    expect(statesOf(await phone.sync(ASK, { pos: whole.pos })), "a retry").toEqual({ [BOB]: "offline" });
    expect(newsOf(await phone.sync(ASK, { pos: then.pos }))).toEqual({});
    expect(statesOf(await phone.sync({ ...ASK, connId: "other" })), "another connection").toEqual({ [BOB]: "offline", [CAROL]: "unavailable" });
    expect((await phone.sync({ ...ALL, connId: "third" })).extensions).toEqual({});
    await t.restart();
    await tell(presence(CAROL, "online"));
    expect(statesOf(await phone.sync(ASK, { pos: then.pos }))).toEqual({ [CAROL]: "online" });
  });

  it("M75 M7: it ends a wait, without any room", async () => {
    const { phone, polled, tell } = someone();
    const bare: Ask = { ext: { presence: { enabled: true } } };
    const first = await phone.sync(bare);
    await polled(true);
    const { answer } = await hangSliding(t, phone, bare, { pos: first.pos, timeout: LONG });
    await tell(presence(BOB, "online"));
    expect(newsOf(await answer)).toEqual({ presence: { events: [presence(BOB, "online")] } });
  });

  it("M75 M77: once it is enabled again, what changed meanwhile is sent, although nobody polled for it", async () => {
    const { phone, token, polled, questions, tell, deliver } = someone();
    t.hs.setPresence(token, presence(BOB, "online"), presence(CAROL, "online"));
    const first = await phone.sync(ASK);
    const whole = await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    await polled(true);
    const off = await phone.sync(ALL, { pos: whole.pos });
    await polled(false);
    await deliver({ timeline: [] });
    await tell(presence("@not-asked-for:test", "online"));
    await writeTx(t.sql, deleteUnwantedPresence);
    t.hs.setPresence(token, presence(BOB, "offline"));
    const again = await phone.sync(ASK, { pos: off.pos });
    expect(statesOf(again), "what is stored is out of date").toEqual({});
    const back = await phone.sync(ASK, { pos: again.pos, timeout: LONG });
    expect(statesOf(back)).toMatchObject({ [BOB]: "offline" });
    expect(statesOf(back)[CAROL]).toBeUndefined();
    expect(questions().at(-1)?.query.get("since")).toMatch(/^s\d/);
  });

  it("M77: if the homeserver does not know any more up to where that was, everybody's is asked for", async () => {
    const { phone, token, polled, questions } = someone();
    t.hs.setPresence(token, presence(BOB, "online"));
    const first = await phone.sync(ASK);
    const whole = await phone.sync(ASK, { pos: first.pos, timeout: LONG });
    await polled(true);
    await t.sql`update accounts set presence_since = 'forgotten' where user_id = ${phone.client.userId}`;
    await t.restart();
    t.hs.fail({ path: /\/sync$/, token, where: asksForPresence }, { status: 400, body: { errcode: "M_UNKNOWN", error: "Unknown token" } });
    t.hs.setPresence(token, presence(BOB, "unavailable"));
    const then = await phone.sync(ASK, { pos: whole.pos, timeout: LONG });
    expect(statesOf(then)).toEqual({ [BOB]: "unavailable" });
    expect(questions().map((question) => question.query.get("since"))).toEqual([null, "forgotten", null]);
  });

  it("M76: at most 500 users in an answer; the others in the next, at once", async () => {
    const { phone, token } = someone();
    const users = Array.from({ length: 1201 }, (_, n) => `@u${n}:test`);
    t.hs.setPresence(token, ...users.map((user) => presence(user, "online")));
    let { pos } = await phone.sync(ASK);
    const counts: number[] = [];
    const seen = new Set<string>();
    while (seen.size < users.length) {
      // oxlint-disable-next-line no-await-in-loop -- each goes on where the last one ended
      const answer = await phone.sync(ASK, { pos, timeout: LONG });
      ({ pos } = answer);
      const states = Object.keys(statesOf(answer));
      counts.push(states.length);
      for (const user of states) seen.add(user);
    }
    expect(counts).toEqual([500, 500, 201]);
  });

  it("M75: how long ago a user was active counts from when the homeserver said it; all else keeps its bytes", async () => {
    const { phone, token, polled } = someone();
    t.hs.setPresence(
      token,
      presence(BOB, "online", { last_active_ago: 1000, status_msg: "x", big: 1e3 }),
      presence(CAROL, "online", { last_active_ago: "?" }),
    );
    const { pos } = await phone.sync(ASK);
    await phone.sync(ASK, { pos, timeout: LONG });
    await polled(true);
    await t.sql`update presence set at = at - 60000 where user_id in (${BOB}, ${CAROL})`;
    const { events } = (await phone.sync({ ...ASK, connId: "later" })).extensions["presence"] as { events: { content: Json }[] };
    expect(events.map(({ content }) => content["last_active_ago"])).toEqual([expect.any(Number), "?"]);
    expect(events[0]?.content["last_active_ago"]).toBeGreaterThanOrEqual(61_000);
    expect(events[0]?.content).toMatchObject({ presence: "online", status_msg: "x" });
  });

  it("M77: a homeserver that cannot say it does without, and polls go on", async () => {
    const { phone, room, token, questions, deliver } = someone();
    t.hs.fail({ path: /\/sync$/, token, where: asksForPresence }, { status: 500, body: {} }, 1);
    const first = await phone.sync(ALL);
    t.hs.setPresence(token, presence(BOB, "online"));
    const asked = await phone.sync(ASK, { pos: first.pos });
    await t.hs.waitForRequest({ path: /\/sync$/, token, where: asksForPresence });
    await deliver({ timeline: [{ type: "m.room.message", sender: BOB, content: {}, event_id: `$${dialect}`, origin_server_ts: 1 }] });
    const then = await phone.sync(ASK, { pos: asked.pos, timeout: LONG });
    const last = statesOf(then)[BOB] ? then : await phone.sync(ASK, { pos: then.pos, timeout: LONG });
    expect([Object.keys(then.rooms), statesOf(last)]).toEqual([[room], { [BOB]: "online" }]);
    expect(questions()).toHaveLength(2);
  });
});
