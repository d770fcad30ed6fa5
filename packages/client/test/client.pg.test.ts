import { getEventListeners } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { ev, type MatrixEvent, newRoom, toDevice, v2 } from "../../../test/support/fake-homeserver.ts";
import { startV3, type V3Fixture } from "../../../test/support/v3.ts";
import {
  Connection,
  type ConnectionKept,
  endSession,
  feed,
  type FeedItem,
  listSessions,
  MatrixError,
  type Retry,
  type SlidingAnswer,
  type Store,
  type Told,
  type V4Answer,
  type V3Kept,
  V3Session,
} from "../src/index.ts";

let t: V3Fixture;
let count = 0;
beforeAll(async () => {
  t = await startV3({ workers: 1 });
});
afterAll(() => t.stop());

/** An account with some rooms, and every body that is sent for it. */
function account(rooms = 2) {
  count += 1;
  const me = `@client${count}:test`;
  const ids = Array.from({ length: rooms }, (_, i) => `!client${count}-${i}:test`);
  const user = t.login(me, "PHONE", v2({ join: Object.fromEntries(ids.map((id) => [id, { state: newRoom(me), timeline: [ev.message(me)] }])) }));
  const sent: { readonly url: string; readonly body: Record<string, unknown> }[] = [];
  const watching: typeof fetch = (url, init) => {
    sent.push({ url: url as string, body: JSON.parse((init?.body ?? "{}") as string) as Record<string, unknown> });
    return fetch(url, init);
  };
  return { user, sent, server: { baseUrl: t.url, accessToken: user.token, fetch: watching } };
}

/** A signal that the test ends with. */
function untilTheEnd(): AbortSignal {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  return stop.signal;
}

function memory<Kept>(): Store<Kept> & { kept: Kept | null } {
  const store = {
    kept: null as Kept | null,
    load: () => store.kept,
    save: (kept: Kept) => {
      store.kept = kept;
    },
  };
  return store;
}

async function next<Answer>(answers: AsyncGenerator<Answer, void>): Promise<Answer> {
  const { value, done } = await answers.next();
  if (done) throw new Error("there are no more answers");
  return value;
}

test("v3: what is asked for is sent once, and a change interrupts the wait", async () => {
  const { server, sent, user } = account();
  const session = await V3Session.open(server);
  session.ask({ room_list: { p: { limit: 1 } }, to_device: {} });
  const answers = session.answers({ signal: untilTheEnd() });
  const one = await next(answers);
  expect(one).toMatchObject({ first: true, answer: { room_list: { count: 2, p: { limit: 1 } }, to_device: { events: [] } } });
  expect(sent.at(-1)?.body).toEqual({ room_list: { p: { limit: 1 } }, to_device: {} });
  const roomId = one.answer.room_list?.rooms[0]?.room_id ?? "";
  const two = next(answers);
  await expect.poll(() => sent.length).toBe(2);
  expect(sent.at(-1)?.body).toEqual({});
  session.ask({ typing: { room_id: roomId }, to_device: null });
  expect(await two).toMatchObject({ first: false, answer: { typing: { events: [] } } });
  expect(sent.at(-1)?.body).toEqual({ typing: { room_id: roomId }, to_device: null });
  expect(session.asked).toEqual({ room_list: { p: { limit: 1 } }, typing: { room_id: roomId } });
  const three = next(answers);
  await t.deliver(user, v2({ join: { [roomId]: { timeline: [ev.message("@bob:test")] } } }));
  expect((await three).answer.room_list?.rooms[0]?.room_id).toBe(roomId);
});

test("v3: the first page is asked for each time (R21), others beside the answers", async () => {
  const { server, sent } = account(3);
  const session = await V3Session.open(server);
  session.ask({ room_list: { p: { limit: 1, since: "1" } } });
  const answers = session.answers({ timeout: 0, signal: untilTheEnd() });
  const { answer } = await next(answers);
  const rooms = new Set(answer.room_list?.rooms.map((room) => room.room_id));
  for (let token = answer.room_list?.p.next; token !== undefined;) {
    const page = await session.page({ room_list: { p: { since: token } } }, answer.next);
    expect(page.next).toBe(answer.next);
    page.room_list?.rooms.forEach((room) => rooms.add(room.room_id));
    token = page.room_list?.p.next;
  }
  expect(rooms.size).toBe(3);
  await next(answers);
  expect(sent.at(-1)?.body).toEqual({ room_list: { p: { since: "1" } } });
});

test("v3: if the server no longer knows the session, a new one starts with everything that was asked for", async () => {
  const { server, sent } = account();
  const session = await V3Session.open(server);
  session.ask({ room_list: { timeline_limit: 3 } });
  const answers = session.answers({ timeout: 0, signal: untilTheEnd() });
  await next(answers);
  session.ask({ e2ee: {} });
  await next(answers);
  const [own] = await listSessions(server);
  await endSession(server, own?.id ?? "");
  expect(await next(answers)).toMatchObject({ first: true, answer: { room_list: { count: 2 }, e2ee: {} } });
  expect(sent.at(-1)).toMatchObject({ body: { room_list: { timeline_limit: 3 }, e2ee: {} } });
  expect(sent.at(-1)?.url).not.toContain("since");
});

test("v3: an answer that the program did not finish with is sent again to the next run", async () => {
  const { server, user } = account();
  const store = memory<V3Kept>();
  const before = await V3Session.open({ ...server, store });
  before.ask({ to_device: {} });
  const run = before.answers({ timeout: 0 });
  await next(run);
  await t.hs.waitForPoll(user.token);
  await t.deliver(user, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
  expect((await next(run)).answer.to_device?.events).toHaveLength(1);
  await run.return();
  for (const [expected, deals] of [
    [1, true],
    [undefined, true],
  ] as const) {
    const session = await V3Session.open({ ...server, store });
    expect(session.asked).toEqual({ to_device: {} });
    const answers = session.answers({ timeout: 0 });
    const { answer, first } = await next(answers);
    expect([first, answer.to_device?.events.length]).toEqual([false, expected]);
    if (deals) await next(answers);
    await answers.return();
  }
});

test.each(["simplified", "v4"] as const)("%s: positions, the queue's place, a connection that is gone, and the next run", async (dialect) => {
  const { server, sent, user } = account();
  const store = memory<ConnectionKept>();
  const open = () =>
    dialect === "v4"
      ? Connection.v4(
          { ...server, store },
          { conn_id: "c", lists: { all: { range: [0, 9], timeline_limit: 1, required_state: {} } }, extensions: { to_device: { enabled: true } } },
        )
      : Connection.simplified(
          { ...server, store },
          { conn_id: "c", lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } }, extensions: { to_device: { enabled: true } } },
        );
  const connection = await open();
  const answers: AsyncGenerator<Told<SlidingAnswer | V4Answer>, void> = connection.answers({ timeout: 0, signal: untilTheEnd() });
  const one = await next(answers);
  expect(one).toMatchObject({ first: true, answer: { lists: { all: { count: 2 } }, extensions: { to_device: { events: [] } } } });
  await t.hs.waitForPoll(user.token);
  await t.deliver(user, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
  const two = await next(answers);
  expect(two).toMatchObject({ first: false, answer: { extensions: { to_device: { events: [{ content: { n: 1 } }] } } } });
  const since = one.answer.extensions.to_device?.next_batch;
  expect(sent.at(-1)?.body).toMatchObject({ extensions: { to_device: { enabled: true, since } } });
  await t.sql`delete from sessions where kind = 'connection' and device in (select device from devices join accounts using (account) where user_id = ${user.userId})`;
  expect(await next(answers)).toMatchObject({ first: true, answer: { lists: { all: { count: 2 } }, extensions: { to_device: { events: [] } } } });
  await next(answers);
  await answers.return();
  const again: typeof answers = (await open()).answers({ timeout: 0 });
  expect((await next(again)).first).toBe(false);
  await again.return();
});

test("trouble is waited out, as the server says; refusals are for the caller", async () => {
  const { user, server } = account();
  const troubles: ((response: ServerResponse) => unknown)[] = [
    (response) => response.writeHead(200).end('{"next":"half'),
    (response) => response.destroy(),
    (response) => response.writeHead(429).end('{"errcode":"M_LIMIT_EXCEEDED","error":"slowly","retry_after_ms":30}'),
    (response) => response.writeHead(503, { "retry-after": "0" }).end("<html>"),
  ];
  const gone = (response: ServerResponse) => response.writeHead(401).end('{"errcode":"M_UNKNOWN_TOKEN","error":"gone"}');
  const proxy = createServer((_, response) => void (troubles.shift() ?? gone)(response));
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void proxy.close());
  const retries: Retry[] = [];
  const session = await V3Session.open({
    baseUrl: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    accessToken: () => Promise.resolve(user.token),
  });
  const failed = await session
    .answers({ onRetry: (retry) => void retries.push(retry) })
    .next()
    .then(null, (error: unknown) => error);
  expect(failed).toMatchObject({ name: "MatrixError", status: 401, errcode: "M_UNKNOWN_TOKEN", message: "gone" });
  expect(retries.map(({ error }) => (error instanceof MatrixError ? error.status : (error as Error).name))).toEqual([
    "SyntaxError",
    "TypeError",
    429,
    503,
  ]);
  expect(retries.slice(2).map(({ waitMs }) => waitMs)).toEqual([30, 0]);
  // A second, then two, and not all clients at the same moment.
  for (const [i, most] of [1000, 2000].entries()) expect(retries[i]?.waitMs).toSatisfy((ms: number) => ms >= most / 2 && ms <= most);
  await expect(V3Session.open({ ...server, baseUrl: "example.org" })).rejects.toThrow(TypeError);
});

test("a signal ends the loop, while it waits and while it rests", async () => {
  const { server } = account();
  const stop = new AbortController();
  const session = await V3Session.open(server);
  session.ask({ to_device: {} });
  const answers = session.answers({ signal: stop.signal });
  await next(answers);
  const waiting = answers.next();
  await delay(0);
  stop.abort();
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  const resting = new AbortController();
  const nobody = await V3Session.open({ baseUrl: "http://127.0.0.1:9", accessToken: "x" });
  expect(await nobody.answers({ signal: resting.signal, onRetry: () => resting.abort() }).next()).toEqual({ done: true, value: undefined });
});

test("M92: a feed goes on where the last run had taken everything; a session that the server no longer knows is said", async () => {
  const { server, user } = account(1);
  const [room, store] = [`!client${count}-0:test`, memory<V3Kept>()];
  const say = async (...events: MatrixEvent[]) => t.deliver(user, v2({ join: { [room]: { timeline: events } } }));
  const take = async (most: number) => {
    const taken: FeedItem[] = [];
    for await (const item of feed({ ...server, store, rooms: [room], timeout: 5000, signal: untilTheEnd() })) {
      taken.push(item);
      if (taken.length === most) break;
    }
    return taken.map(({ event, lost }) => event?.event_id ?? lost);
  };
  const [one, two, three] = [ev.message("@bob:test"), ev.message("@bob:test"), ev.message("@bob:test")];
  const begun = take(1);
  await expect.poll(() => store.kept).not.toBeNull();
  await say(one, two);
  expect(await begun).toEqual([one.event_id]);
  // Both came in one answer, and not all of it was taken.
  await say(three);
  expect(await take(3)).toEqual([one.event_id, two.event_id, three.event_id]);
  for (const { id } of await listSessions(server)) await endSession(server, id);
  const { since } = store.kept ?? {};
  const again = take(2);
  await expect.poll(() => store.kept?.since).not.toBe(since);
  const after = ev.message("@bob:test");
  await say(after);
  expect(await again).toEqual([true, after.event_id]);
});
