/** `syncv3 doctor` with a good server, and with what can go wrong in front of one. */

import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, request as send, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase } from "../../test/support/database.ts";
import { v2 } from "../../test/support/fake-homeserver.ts";
import { type V3Client, v3Server } from "../../test/support/v3.ts";
import { silentLogger } from "../base/logger.ts";
import type { DoctorSettings } from "../config/options.ts";
import { migrate } from "../store/migrate.ts";
import { startEmbeddedDatabase } from "./embedded-database.ts";
import { doctor, Unwell } from "./doctor.ts";

let client: V3Client;
const t = v3Server({ workers: 1 });
beforeAll(() => {
  t.hs.on("GET", "/_matrix/client/v3/login", { body: { flows: [{ type: "m.login.password" }] } });
  t.hs.on("GET", "/_matrix/client/v3/directory/room/:alias", { status: 404, body: { errcode: "M_NOT_FOUND", error: "no" } });
  client = t.login("@doctor:test", "PHONE", v2());
});

const WAIT_MS = 500;

type Inside = Partial<Pick<DoctorSettings, "server" | "db" | "data">>;

async function told(url: string, token?: string, inside: Inside = {}): Promise<{ text: string; isWell: boolean }> {
  const lines: string[] = [];
  const isWell = await doctor(
    { url, token, server: undefined, db: undefined, data: "/nowhere", ...inside },
    (line) => void lines.push(line),
    new AbortController().signal,
    WAIT_MS,
  ).then(
    () => true,
    (error: unknown) => {
      if (!(error instanceof Unwell)) throw error;
      return false;
    },
  );
  return { text: lines.join("\n"), isWell };
}

/** A reverse proxy that calls `spoil` first. True: `spoil` has answered the request. */
async function proxy(spoil: (request: IncomingMessage, response: ServerResponse) => boolean): Promise<string> {
  const server = createServer((request, response) => {
    if (spoil(request, response)) return;
    const { hostname, port } = new URL(t.url);
    const onward = send({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a good server without a well-known file and with a public /health", async () => {
  const { text, isWell } = await told(t.url, client.token);
  expect(isWell, text).toBe(true);
  expect(text).not.toMatch(/^wrong/m);
  expect(text.match(/^warning .*/gm)).toEqual([
    expect.stringContaining("/health is public"),
    expect.stringContaining("no /.well-known/matrix/client"),
  ]);
  expect(text).toMatch(/^ok +a long poll was answered after/m);
  expect(text).toContain("Clients are served; 2 warnings");
  expect(text).not.toContain(client.token);
});

test("behind a proxy that passes only what it should, with a well-known file: no problems", async () => {
  const url: string = await proxy((request, response) => {
    if (request.url?.startsWith("/health")) response.writeHead(404).end();
    else if (request.url === "/.well-known/matrix/client") response.end(JSON.stringify({ "m.homeserver": { base_url: `${url}/` } }));
    else return false;
    return true;
  });
  const { text } = await told(url);
  expect(text).toMatch(/^skipped +long polls: .*SYNCV3_TOKEN/m);
  expect(text).toContain("No problems found");
});

test("the address leads to the homeserver and not to syncv3", async () => {
  expect(await told(t.hs.url)).toEqual({ isWell: false, text: expect.stringMatching(/^error +.*lacks the flags of syncv3/m) });
});

test("an address where nothing answers, and a proxy that reaches no server", async () => {
  expect(await told("http://127.0.0.1:1")).toEqual({ isWell: false, text: expect.stringMatching(/^error +the address cannot be reached/m) });
  const url = await proxy((_, response) => {
    response.writeHead(502).end("<html>");
    return true;
  });
  expect(await told(url)).toEqual({ isWell: false, text: expect.stringMatching(/^error +\/versions answers 502/m) });
});

test("a proxy that cuts off long polls, decodes paths, and does not pass on OPTIONS and one of the syncs", async () => {
  const url = await proxy((request, response) => {
    request.url = request.url?.replaceAll("%2F", "/") ?? "";
    if (request.method === "OPTIONS") response.writeHead(405).end();
    else if (request.url.includes("/v4/sync")) response.writeHead(404).end();
    else if (request.url.includes("timeout=500")) setTimeout(() => response.destroy(), 100);
    else return false;
    return true;
  });
  const { text, isWell } = await told(url, client.token);
  expect(isWell).toBe(false);
  expect(text).toMatch(/^error +sliding sync \(MSC4186\): 404/m);
  expect(text).toMatch(/^warning +an encoded slash in a path is changed/m);
  expect(text).toMatch(/^warning +OPTIONS answers 405/m);
  expect(text).toMatch(/^error +a long poll was cut off/m);
  expect(text).toContain("proxy_read_timeout");
});

test("the command: its exit code, and an invalid token", async () => {
  const wrong = await runCommand(["doctor", "http://127.0.0.1:1"]).ended;
  expect([wrong.code, wrong.stderr]).toEqual([1, "syncv3: 1 error, 0 warnings: see above for what to change\n"]);
  expect((await runCommand(["doctor", "nothing"]).ended).code).toBe(2);
  const refused = await runCommand(["doctor", t.url], { SYNCV3_TOKEN: "nobody's" }).ended;
  expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining("SYNCV3_TOKEN is not an access token of this homeserver")]);
});

test("the inside: the embedded database, and the homeserver", { timeout: 120_000 }, async () => {
  const data = await mkdtemp(join(tmpdir(), "syncv3-doctor-"));
  onTestFinished(() => rm(data, { recursive: true, force: true }));
  const database = await startEmbeddedDatabase({ directory: data });
  onTestFinished(() => database.stop());
  await migrate(database.options, silentLogger());
  const { text, isWell } = await told(t.url, undefined, { server: t.hs.url, data });
  expect(isWell, text).toBe(true);
  expect(text).toMatch(/^ok +PostgreSQL \d\d$/m);
  expect(text).toMatch(/^ok +the database settings: a crash loses nothing, \d+ free connections$/m);
  expect(text).toMatch(/^ok +the database schema is that of this version$/m);
  expect(text).toMatch(/^ok +the database's clock is right$/m);
  expect(text).toMatch(/^(ok|warning) +[\d.]+ GB free in the data directory$/m);
  expect(text).toMatch(/^ok +the homeserver answers in \d+ ms$/m);
  expect(text).toMatch(/^ok +the homeserver's clock is right$/m);
  expect(text).not.toMatch(/^skipped +the /m);
  expect((await told(t.url)).text).toMatch(/^skipped +the inside of the server: /m);
  expect((await told(t.url, undefined, { server: t.hs.url })).text).toMatch(/^skipped +the database: .*-db/m);
  expect((await told(t.url, undefined, { data })).text).toMatch(/^skipped +the connection to the homeserver: .*-server/m);
});

test("the inside: settings that lose messages, another schema, a wrong clock, an unreachable database", async () => {
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  await database.sql.unsafe(`alter database "${database.options.database}" set synchronous_commit = off`);
  await database.sql`update migrations set name = 'x' || name`;
  t.hs.on("GET", "/_matrix/client/versions", { body: { versions: ["v1.1"] }, headers: { date: new Date(Date.now() - 60_000).toUTCString() } });
  const { text, isWell } = await told(t.url, undefined, { server: t.hs.url, db: database.options });
  expect(isWell).toBe(false);
  expect(text).toMatch(/^error +synchronous_commit is off: a crash loses the last commits\n +Set synchronous_commit = on/m);
  expect(text).toMatch(/^error +the database schema is not that of this version: not migrated: 0001_first/m);
  expect(text).toMatch(/^warning +the homeserver's clock is (59|6\d) s behind this machine's/m);
  const nobody = await told(t.url, undefined, { server: "http://127.0.0.1:9", db: { host: "127.0.0.1", port: 9, username: "x", database: "x" } });
  expect(nobody.text).toMatch(/^error +the database cannot be queried: .*ECONNREFUSED/m);
  expect(nobody.text).toMatch(/^error +the homeserver: -server: no homeserver can be reached/m);
});

test("M101: doctor names what the homeserver lacks and who does without it, and what syncv3 answers in its place", async () => {
  const inside = async () => (await told(t.url, undefined, { server: t.hs.url })).text;
  const text = await inside();
  expect(text).toMatch(/^warning +the homeserver has no room summaries \(MSC3266\)\n +syncv3 answers for rooms .*Element X shows no preview/m);
  expect(text).toMatch(/^ok +the homeserver has no lists of threads: syncv3 answers in its place$/m);
  expect(text).toMatch(/^warning +the homeserver has no spaces \(hierarchy\)\n +Element X/m);
  const refusal = { status: 401, body: { errcode: "M_MISSING_TOKEN", error: "Missing access token" } };
  for (const path of [
    "room_summary/:room",
    "rooms/:room/threads",
    "rooms/:room/relations/:event/m.thread",
    "rooms/:room/hierarchy",
    "media/config",
  ]) {
    t.hs.on("GET", `/_matrix/client/v1/${path}`, refusal);
  }
  expect(await inside()).toMatch(/^ok +the homeserver has every endpoint that clients of sliding sync call$/m);
});

test("T20: doctor warns if history is not read through syncv3, because users of Element X then lose history", async () => {
  const database = await freshDatabase();
  try {
    const inside = async () => (await told(t.url, undefined, { db: database.options })).text;
    expect(await inside()).not.toContain("room history");
    await database.sql`insert into accounts (user_id) values ('@one:test'), ('@two:test')`;
    expect(await inside()).toMatch(/warning +0 of 2 active accounts read room history[^]*-public-url[^]*Element X/);
    await database.sql`update accounts set history_at = now() where user_id = '@one:test'`;
    expect(await inside()).toMatch(/ok +1 of 2 active accounts read room history/);
    await database.sql`update accounts set history_at = now() - interval '31 days'`;
    expect(await inside()).toMatch(/warning +0 of 2/);
  } finally {
    await database.drop();
  }
});
