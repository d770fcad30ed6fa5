/** `syncv3 doctor` before a good server, and before what goes wrong in front of one. */

import { createServer, type IncomingMessage, request as send, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { v2 } from "../../test/support/fake-homeserver.ts";
import { startV3, type V3Client, type V3Fixture } from "../../test/support/v3.ts";
import { doctor, Unwell } from "./doctor.ts";

let t: V3Fixture;
let client: V3Client;
beforeAll(async () => {
  t = await startV3({ workers: 1 });
  t.hs.on("GET", "/_matrix/client/v3/login", { body: { flows: [{ type: "m.login.password" }] } });
  t.hs.on("GET", "/_matrix/client/v3/directory/room/:alias", { status: 404, body: { errcode: "M_NOT_FOUND", error: "no" } });
  client = t.login("@doctor:test", "PHONE", v2());
});
afterAll(() => t.stop());

const WAIT_MS = 500;

async function told(url: string, token?: string): Promise<{ text: string; isWell: boolean }> {
  const lines: string[] = [];
  const isWell = await doctor({ url, token }, (line) => void lines.push(line), new AbortController().signal, WAIT_MS).then(
    () => true,
    (error: unknown) => {
      if (!(error instanceof Unwell)) throw error;
      return false;
    },
  );
  return { text: lines.join("\n"), isWell };
}

/** A reverse proxy that does as `spoil` says; true: it has answered itself. */
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

test("a good server, whose address is not named and whose /health is public", async () => {
  const { text, isWell } = await told(t.url, client.token);
  expect(isWell, text).toBe(true);
  expect(text).not.toMatch(/^wrong/m);
  expect(text.match(/^warning .*/gm)).toEqual([
    expect.stringContaining("/health is public"),
    expect.stringContaining("no /.well-known/matrix/client"),
  ]);
  expect(text).toMatch(/^ok +a long poll, answered after/m);
  expect(text).toContain("Clients are served; 2 to look at");
  expect(text).not.toContain(client.token);
});

test("behind a proxy that leads only what it should, with a well-known file: all well", async () => {
  const url: string = await proxy((request, response) => {
    if (request.url?.startsWith("/health")) response.writeHead(404).end();
    else if (request.url === "/.well-known/matrix/client") response.end(JSON.stringify({ "m.homeserver": { base_url: `${url}/` } }));
    else return false;
    return true;
  });
  const { text } = await told(url);
  expect(text).toMatch(/^skipped +long polls: .*SYNCV3_TOKEN/m);
  expect(text).toContain("All well");
});

test("past syncv3, at the homeserver itself", async () => {
  expect(await told(t.hs.url)).toEqual({ isWell: false, text: expect.stringMatching(/^wrong +.*lacks the flags of syncv3/m) });
});

test("nobody there, and a proxy that reaches nobody", async () => {
  expect(await told("http://127.0.0.1:1")).toEqual({ isWell: false, text: expect.stringMatching(/^wrong +the address cannot be reached/m) });
  const url = await proxy((_, response) => {
    response.writeHead(502).end("<html>");
    return true;
  });
  expect(await told(url)).toEqual({ isWell: false, text: expect.stringMatching(/^wrong +\/versions is 502/m) });
});

test("a proxy that ends long polls, decodes paths, keeps OPTIONS and one of the syncs to itself", async () => {
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
  expect(text).toMatch(/^wrong +sliding sync as MSC4186 has it: 404/m);
  expect(text).toMatch(/^warning +an encoded slash in a path is changed/m);
  expect(text).toMatch(/^warning +OPTIONS is 405/m);
  expect(text).toMatch(/^wrong +a long poll broke off/m);
  expect(text).toContain("proxy_read_timeout");
});

test("the command: its exit code, and a token that is none", async () => {
  const wrong = await runCommand(["doctor", "http://127.0.0.1:1"]).ended;
  expect([wrong.code, wrong.stderr]).toEqual([1, "syncv3: 1 wrong, 0 to look at\n"]);
  expect((await runCommand(["doctor", "nothing"]).ended).code).toBe(2);
  const refused = await runCommand(["doctor", t.url], { SYNCV3_TOKEN: "nobody's" }).ended;
  expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining("SYNCV3_TOKEN is not an access token of this homeserver")]);
});
