/** A new account at a homeserver that takes long for its first v2 response. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ev, newRoom, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED, SHORT, timedSliding } from "../support/sliding-waits.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const FIRST_CONTACT_MS = 400;

let t: V3Fixture;
/** The same server, with another patience at first contact. */
let patient: V3Fixture;
beforeAll(async () => {
  [t, patient] = await Promise.all([startV3({ sliding: { ...NOTED, firstContactMs: FIRST_CONTACT_MS } }), startV3({ sliding: NOTED })]);
});
afterEach(() => {
  t.hs.heal();
  patient.hs.heal();
});
afterAll(() => Promise.all([t.stop(), patient.stop()]));

let count = 0;
const BOB = "@bob:test";

describe.each(DIALECTS)("first contact (%s)", (dialect) => {
  /** A user whose homeserver answers the first poll only when `answer` is called. */
  function slowStart(fixture: V3Fixture) {
    count += 1;
    const me = `@slow${count}:test`;
    const room = `!slow${count}:test`;
    const token = fixture.hs.login(me, "PHONE");
    fixture.hs.holdSync(token);
    const client = fixture.clientOf(me, "PHONE", token);
    const answer = () => {
      const first = { state: newRoom(me), timeline: [ev.message(BOB)], ephemeral: [typing(BOB)] };
      fixture.hs.queueSync(
        token,
        v2({
          join: { [room]: first, [`${room}b`]: { state: newRoom(me) } },
          account_data: [{ type: "x", content: {} }],
          to_device: [toDevice(BOB)],
          one_time_keys: { signed_curve25519: 1 },
        }),
      );
      fixture.hs.holdSync(token, false);
    };
    return { me, room, token, client, answer, phone: new SlidingClient(client, dialect) };
  }

  it("M58: the first answer waits for the first v2 response, though it has no position and whatever its timeout says", async () => {
    const { phone, room, token, answer } = slowStart(patient);
    const first = phone.sync(ALL, { timeout: 0 });
    await patient.hs.waitForPoll(token);
    answer();
    const { rooms, lists } = await first;
    expect([rooms[room]?.["initial"], lists["all"]?.count]).toEqual([true, 2]);
  });

  it("M58: after the longest wait it is empty, and the rooms are sent as soon as they are stored", async () => {
    const { phone, room, answer } = slowStart(t);
    const { answer: first, elapsed } = await timedSliding(phone, ALL, { timeout: LONG });
    expect(elapsed).toBeGreaterThanOrEqual(FIRST_CONTACT_MS);
    expect([newsOf(first), first.lists["all"]?.count]).toEqual([{}, 0]);
    const { answer: waiting } = await hangSliding(t, phone, ALL, { pos: first.pos, timeout: LONG });
    answer();
    const filled = await waiting;
    expect([filled.rooms[room]?.["initial"], filled.lists["all"]?.count]).toEqual([true, 2]);
    expect(newsOf(await phone.sync(ALL, { pos: filled.pos }))).toEqual({});
  });

  it("M58: meanwhile a position waits as long as its timeout says, and is 200", async () => {
    const { phone, room, answer } = slowStart(t);
    const first = await phone.sync(ALL);
    const still = await timedSliding(phone, ALL, { pos: first.pos, timeout: SHORT });
    expect(still.elapsed).toBeGreaterThanOrEqual(SHORT);
    const at = await phone.sync(ALL, { pos: still.answer.pos, timeout: 0 });
    expect([newsOf(at), at.lists["all"]?.count]).toEqual([{}, 0]);
    answer();
    expect(Object.keys((await phone.sync(ALL, { pos: at.pos, timeout: LONG })).rooms)).toContain(room);
  });

  it("M58 M48 M46 M49 M51: extensions send nothing that is not known yet, and everything afterwards", async () => {
    const { phone, room, answer } = slowStart(t);
    const ask = {
      ...ALL,
      ext: Object.fromEntries(["to_device", "e2ee", "account_data", "receipts", "typing"].map((name) => [name, { enabled: true }])),
    };
    const first = await phone.sync(ask);
    expect(newsOf(first)).toEqual({});
    expect(first.extensions["e2ee"]).toEqual({});
    answer();
    const filled = await phone.sync(ask, { pos: first.pos, timeout: LONG });
    // To-device messages and key counts may come first: they do not wait for the rooms.
    const rest = Object.keys(filled.rooms).length > 0 ? filled : await phone.sync(ask, { pos: filled.pos, timeout: LONG });
    expect(rest.extensions["e2ee"]).toEqual({ device_one_time_keys_count: { signed_curve25519: 1 } });
    expect(rest.extensions["to_device"].events).toEqual([toDevice(BOB)]);
    expect([rest.extensions["account_data"].global, rest.extensions["typing"].rooms[room]?.content]).toEqual([
      [{ type: "x", content: {} }],
      { user_ids: [BOB] },
    ]);
  });

  it("M58: a subscription to a room that is not known yet brings it once it is", async () => {
    const { phone, room, answer } = slowStart(t);
    const ask = { subs: { [room]: { limit: 5 } } };
    const first = await phone.sync(ask);
    expect(first.rooms).toEqual({});
    answer();
    expect(Object.keys((await phone.sync(ask, { pos: first.pos, timeout: LONG })).rooms)).toEqual([room]);
  });

  it("M58 M5: a restart in between is not noticeable", async () => {
    const { phone, room, answer } = slowStart(t);
    const first = await phone.sync(ALL);
    await t.restart();
    const still = await phone.sync(ALL, { pos: first.pos });
    expect(newsOf(still)).toEqual({});
    answer();
    expect(Object.keys((await phone.sync(ALL, { pos: still.pos, timeout: LONG })).rooms)).toContain(room);
    expect(Object.keys((await phone.sync(ALL, { pos: first.pos, timeout: LONG })).rooms), "so does the older position").toContain(room);
  });

  it("M58 M3: a client that gives up and begins again has one connection, on one poll", async () => {
    const { phone, room, token, answer } = slowStart(t);
    await Promise.all([phone.request(ALL), phone.request(ALL), phone.request(ALL)]);
    const again = await phone.sync(ALL);
    answer();
    expect(Object.keys((await phone.sync(ALL, { pos: again.pos, timeout: LONG })).rooms)).toContain(room);
    expect(t.hs.peakPolls(token)).toBe(1);
  });

  it("M58: one user's slow first response delays no other user", async () => {
    const slow = slowStart(patient);
    const first = slow.phone.sync(ALL);
    await patient.hs.waitForPoll(slow.token);
    count += 1;
    const other = new SlidingClient(
      patient.login(`@fast${count}:test`, "PHONE", v2({ join: { [`!fast${count}:test`]: { state: newRoom(BOB) } } })),
      dialect,
    );
    expect((await other.sync(ALL)).lists["all"]?.count).toBe(1);
    slow.answer();
    expect((await first).lists["all"]?.count).toBe(2);
  });

  it("M58 M59: a first poll that fails is tried again, and the first answer is no error", async () => {
    const { phone, room, token, answer } = slowStart(t);
    t.hs.fail({ path: /\/sync$/, token }, { status: 500, body: "oops" }, 1);
    const first = await phone.sync(ALL);
    expect(newsOf(first)).toEqual({});
    answer();
    expect(Object.keys((await phone.sync(ALL, { pos: first.pos, timeout: LONG })).rooms)).toContain(room);
  });

  it("M58: a further device of a known account does not wait", async () => {
    const { me, phone, answer, room } = slowStart(t);
    const first = await phone.sync(ALL);
    answer();
    await phone.sync(ALL, { pos: first.pos, timeout: LONG });
    const token = t.hs.login(me, "TABLET");
    t.hs.holdSync(token);
    const tablet = new SlidingClient(t.clientOf(me, "TABLET", token), dialect);
    expect(Object.keys((await tablet.sync(ALL)).rooms)).toContain(room);
  });
});
