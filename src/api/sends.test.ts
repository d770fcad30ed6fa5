import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { MemoryTokens, startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver, type FakeReply } from "../../test/support/fake-homeserver.ts";
import { silentLogger, type Logger } from "../base/logger.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { FindDevice, SentEvent } from "./ports.ts";
import { Sends, transactionOf } from "./sends.ts";

test.each([
  ["PUT", "/_matrix/client/v3/rooms/!a%3Ab/send/m.room.message/m1.2%2F3?x=1", "m1.2/3"],
  ["PUT", "/_matrix/client/r0/rooms/!a:b/send/m.room.message/1", "1"],
  ["PUT", "/_matrix/client/api/v1/rooms/!a:b/send/m.room.message/1", "1"],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/redact/$e/r1", "r1"],
  ["POST", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1", null],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/state/m.room.topic/", null],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/state/m.room.topic/key", null],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message", null],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/", null],
  ["PUT", "/_matrix/client/v3/sendToDevice/m.x/1", null],
  ["PUT", "/_matrix/federation/v1/rooms/!a:b/send/m.room.message/1", null],
])("%s %s: transaction %j", (method, target, expected) => {
  expect(transactionOf(method, target)).toBe(expected);
});

const [PHONE, TABLET] = [1 as DeviceNo, 2 as DeviceNo];
const ALICE = { account: 9 as AccountNo, device: PHONE };

describe("what is under way", () => {
  const sends = new Sends({ store: { learned: async () => {} }, logger: silentLogger() });
  /** Whether it is settled by the time that all that can happen at once has happened. */
  const isSettled = async (waiting: Promise<void>) => Promise.race([waiting.then(() => true), new Promise(setImmediate).then(() => false)]);

  test("a device that sends nothing is settled", async () => {
    const end = sends.begin(TABLET);
    expect(await isSettled(sends.settled(PHONE, 60_000))).toBe(true);
    end();
    expect(await isSettled(sends.settled(TABLET, 60_000))).toBe(true);
  });

  test("one that sends is settled when all that had begun has ended, whatever begins later", async () => {
    const [first, second] = [sends.begin(PHONE), sends.begin(PHONE)];
    const waiting = sends.settled(PHONE, 60_000);
    const later = sends.begin(PHONE);
    first();
    first();
    expect(await isSettled(waiting)).toBe(false);
    second();
    expect(await isSettled(waiting)).toBe(true);
    later();
  });

  test("and at the latest when its time is over", async () => {
    const end = sends.begin(PHONE);
    await expect(sends.settled(PHONE, 1)).resolves.toBeUndefined();
    end();
  });
});

const SEND = "/_matrix/client/v3/rooms/!a%3Ab/send/m.room.message/m1";

describe("sends that pass", () => {
  let hs: FakeHomeserver;
  let api: TestApi;
  let alice: string;
  let sends: Sends;
  const learned = vi.fn<(sent: SentEvent) => Promise<void>>();
  const findDevice = vi.fn<FindDevice>();
  const errors: string[] = [];
  let patienceMs = 60_000;

  beforeEach(async () => {
    errors.length = 0;
    learned.mockReset().mockResolvedValue();
    findDevice.mockReset().mockImplementation(async (userId, deviceId) => (userId === "@alice:test" && deviceId === "PHONE" ? ALICE : null));
    const note = (_fields: object, text: string) => void errors.push(text);
    const logger = { ...silentLogger(), warn: note, error: note } as unknown as Logger;
    sends = new Sends({ store: { learned: (sent) => learned(sent) }, logger, patienceMs });
    hs = await startFakeHomeserver();
    alice = hs.login("@alice:test", "PHONE");
    hs.on("PUT", "/_matrix/client/v3/rooms/:room/send/:type/:txn", ({ body }) => ({ body: `{ "event_id":"$of ${body.length}", "x":1.0 }` }));
    api = await startApi(hs.url, { tokens: new MemoryTokens(), findDevice: (...ids) => findDevice(...ids), sends });
  });
  afterEach(async () => {
    await api.stop();
    await hs.stop();
  });

  const send = async (token = alice, query = "") => {
    const answer = await api.fetch(SEND + query, { method: "PUT", token, body: '{"body":"hi"}' });
    return [answer.status, await answer.text()];
  };
  const SENT = [200, '{ "event_id":"$of 13", "x":1.0 }'];

  test("the event is stored before the client gets the answer, and the answer keeps its bytes", async () => {
    const stored = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<SentEvent>();
    sends = new Sends({ store: { learned: async (sent) => (asked.resolve(sent), stored.promise) }, logger: silentLogger() });
    await api.stop();
    api = await startApi(hs.url, { findDevice, sends });
    let isAnswered = false;
    const answer = send().finally(() => (isAnswered = true));
    expect(await asked.promise).toEqual({ ...ALICE, eventId: "$of 13", txnId: "m1" });
    const settled = sends.settled(PHONE, 60_000);
    await hs.waitForRequest({ path: "/send/" });
    expect(isAnswered).toBe(false);
    stored.resolve();
    await settled;
    expect(await answer).toEqual(SENT);
  });

  test("a redaction, under the path of old", async () => {
    hs.on("PUT", "/_matrix/client/r0/rooms/:room/redact/:event/:txn", { body: { event_id: "$r" } });
    await api.fetch("/_matrix/client/r0/rooms/!a:b/redact/$e/r%201", { method: "PUT", token: alice, body: "{}" });
    expect(learned.mock.calls).toEqual([[{ ...ALICE, eventId: "$r", txnId: "r 1" }]]);
  });

  describe("with little patience", () => {
    beforeAll(() => void (patienceMs = 20));
    afterAll(() => void (patienceMs = 60_000));

    test("what cannot be stored, or not in time, does not fail the send", async () => {
      // Once the token is verified, finding its device takes no time at all.
      await expect.poll(async () => (await send(), learned.mock.calls.length)).toBeGreaterThan(0);
      errors.length = 0;
      learned.mockClear();
      learned.mockRejectedValueOnce(new Error("no database"));
      expect(await send()).toEqual(SENT);
      learned.mockReturnValueOnce(new Promise(() => {}));
      expect(await send()).toEqual(SENT);
      findDevice.mockRejectedValueOnce(new Error("no database"));
      expect(await send()).toEqual(SENT);
      findDevice.mockReturnValueOnce(new Promise(() => {}));
      expect(await send()).toEqual(SENT);
      expect(learned).toHaveBeenCalledTimes(2);
      expect(errors).toEqual([
        "The transaction ID of a sent event could not be stored",
        "The transaction ID of a sent event is not stored yet; its answer goes out without waiting",
        "The sender of an event could not be determined; its transaction ID is not stored",
        "The sender of an event could not be determined in time; its transaction ID is not stored",
      ]);
      await sends.settled(PHONE, 60_000);
    });
  });

  test("of strangers, application services and unknown tokens nothing is learned", async () => {
    expect(await send(hs.login("@bob:test"))).toEqual(SENT);
    expect(await send(alice, "?user_id=@bob:test")).toEqual(SENT);
    expect(await send("nonsense")).toEqual(SENT);
    expect(learned).not.toHaveBeenCalled();
  });

  test.each([
    ["a refusal", { status: 403, body: '{"errcode":"M_FORBIDDEN","event_id":"$x"}' }],
    ["a delayed event", { body: '{"delay_id":"d"}' }],
    ["no JSON", { body: "<html>" }],
    ["null", { body: "null" }],
  ] as [string, FakeReply][])("%s: nothing is learned, and no send stays under way", async (_name, reply) => {
    hs.on("PUT", "/_matrix/client/v3/rooms/:room/send/:type/:txn", reply);
    expect(await send()).toEqual([reply.status ?? 200, reply.body]);
    expect(learned).not.toHaveBeenCalled();
    await sends.settled(PHONE, 60_000);
  });

  test("a homeserver that breaks off, too", async () => {
    hs.fail({ path: "/send/" }, { body: '{"event_id":"$x"}', cut: 5 });
    expect((await send())[0]).toBe(502);
    await sends.settled(PHONE, 60_000);
  });
});
