/** Clients that break off, never read, race and crowd: others notice nothing, and they themselves get everything when they come in good order. */

import { execSync, spawn } from "node:child_process";
import { once } from "node:events";
import { connect as dial, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { ev, newRoom, toDevice, v2 } from "../support/fake-homeserver.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server({ workers: 1 });

const EVERYTHING = { room_list: { timeline_limit: 20 }, to_device: {} };
/** Connections, of another process: as many as each of the two may have files open, less what else it opens. */
const CROWD = Math.min(10_000, Number(execSync("ulimit -Hn").toString().replace("unlimited", "1e9")) - 1000);
/** Opens so many, says so, and holds them. */
const CROWDING = `
const { connect } = require("node:net");
const [port, count] = process.argv.slice(1).map(Number);
const some = (left) => {
  if (left <= 0) return console.log("there");
  let open = 0;
  const batch = Math.min(100, left);
  for (let i = 0; i < batch; i += 1) connect(port, "127.0.0.1", () => ++open === batch && some(left - batch)).on("error", (error) => { throw error; });
};
some(count);
`;
let count = 0;

/** A user with so many rooms of long messages. */
function user(rooms = 1): V3Client {
  count += 1;
  const me = `@client${count}:test`;
  const join = Object.fromEntries(
    Array.from({ length: rooms }, (_, i) => [
      `!client${count}_${i}:test`,
      { state: newRoom(me), timeline: Array.from({ length: 20 }, () => ev.message("@bob:test", "x".repeat(2000))) },
    ]),
  );
  return t.login(me, "PHONE", v2({ join }));
}

/** A sync as bytes on a connection of its own. */
async function raw(client: V3Client, body: object, query = ""): Promise<Socket> {
  const text = JSON.stringify(body);
  const socket = dial(Number(new URL(t.url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.write(
    `POST /_matrix/client/v3/sync?${query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${client.token}\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
  return socket;
}

test("D1: who breaks off in the middle of an answer gets the same again", async () => {
  const client = user(100);
  const first = await client.sync({ to_device: {} });
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
  for (let i = 0; i < 3; i += 1) {
    const socket = await raw(client, EVERYTHING, `since=${first.next}`);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    expect(chunk.toString()).toContain("200 OK");
    socket.destroy();
  }
  const answer = await client.sync(EVERYTHING, { since: first.next });
  expect(answer["to_device"].events).toHaveLength(1);
  expect(answer["room_list"].rooms.length).toBeGreaterThan(10);
});

test("fifty clients that never read their answers delay no other client, and end when the server stops", { timeout: 120_000 }, async () => {
  const greedy = user(100);
  await greedy.sync({});
  await t.hs.waitForPoll(greedy.token);
  const sockets = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const socket = await raw(greedy, { room_list: { timeline_limit: 20, p: { limit: 100 } } });
      socket.on("error", () => {});
      return socket.pause();
    }),
  );
  const other = user();
  expect((await other.sync(EVERYTHING))["room_list"].count).toBe(1);
  // A stop does not wait for them beyond its time.
  await t.restart();
  for (const socket of sockets) socket.destroy();
  expect((await other.sync(EVERYTHING))["room_list"].count).toBe(1);
});

test("D11: of ten simultaneous requests of one session the newest is answered in full, the others are ended, and the token stays valid", async () => {
  const client = user();
  const first = await client.sync({ to_device: {} });
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ to_device: [toDevice("@bob:test", { n: 1 }), toDevice("@bob:test", { n: 2 })] }));
  const replies = await Promise.all(Array.from({ length: 10 }, () => client.request({}, { since: first.next, timeout: 100 })));
  const whole = replies.filter((reply) => reply.body["to_device"]?.events.length === 2);
  expect(whole.length).toBeGreaterThan(0);
  for (const reply of replies) expect(reply.status).toBe(200);
  const after = await client.sync({}, { since: whole[0]?.body.next });
  expect(after["to_device"]).toBeUndefined();
  expect((await client.sync({}, { since: after.next }))["to_device"]).toBeUndefined();
});

test(`${CROWD} connections that send nothing leave room for other clients`, { timeout: 120_000 }, async () => {
  const port = Number(new URL(t.url).port);
  const crowd = spawn(process.execPath, ["-e", CROWDING, String(port), String(CROWD)], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void crowd.kill("SIGKILL"));
  expect(String((await once(crowd.stdout, "data"))[0])).toBe("there\n");
  const client = user();
  expect((await client.sync(EVERYTHING))["room_list"].count).toBe(1);
});

test("requests that are not HTTP, or smuggle another one, are refused, and nothing of them reaches the homeserver", async () => {
  const port = Number(new URL(t.url).port);
  const before = t.hs.requests.length;
  const BAD = [
    "nonsense\r\n\r\n",
    "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /_matrix/client/secret HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 50\r\n\r\nx",
    "POST /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "GET /_matrix/client/versions HTTP/1.1\r\nHost : x\r\n\r\n",
    "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nX: a\rGET /b\r\n\r\n",
    `GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(100_000)}\r\n\r\n`,
  ];
  for (const bytes of BAD) {
    const socket = dial(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(bytes);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
    await once(socket, "close");
    expect(Buffer.concat(chunks).toString(), bytes.slice(0, 120)).toMatch(/^HTTP\/1\.1 4\d\d /);
  }
  expect(t.hs.requests.slice(before).map((request) => request.path)).not.toContain("/_matrix/client/secret");
});
