import { afterEach, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver, type FakeReply } from "../../test/support/fake-homeserver.ts";

const FILE = "/.well-known/matrix/client";
const OURS = "https://sync.example.org";

let hs: FakeHomeserver;
let api: TestApi;

beforeEach(async () => {
  hs = await startFakeHomeserver();
  api = await startApi(hs.url, { publicUrl: OURS });
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

test("M54: the homeserver's file with our address in it, and without the proxy of old", async () => {
  const body = {
    "m.homeserver": { base_url: "https://hs.example.org/", x: 1 },
    "m.identity_server": { base_url: "https://id.example.org" },
    "org.matrix.msc3575.proxy": { url: "https://old.example.org" },
  };
  hs.on("GET", FILE, {
    body: JSON.stringify(body),
    headers: {
      "content-type": "application/octet-stream",
      "access-control-allow-origin": "https://app.example.org",
      "cache-control": "max-age=9",
      etag: "1",
    },
  });
  const answer = await api.fetch(FILE);
  expect(await answer.json()).toEqual({ "m.identity_server": body["m.identity_server"], "m.homeserver": { base_url: OURS, x: 1 } });
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(answer.headers.get("cache-control")).toBe("max-age=9");
  expect(answer.headers.get("etag")).toBeNull();
});

test.each([
  ["none", { status: 404, body: { "m.homeserver": { base_url: "x" } } }],
  ["an error", { status: 500, body: "no" }],
  ["no JSON", { body: "<html>" }],
  ["no object", { body: [] }],
  ["one cut short", { body: '{"a":1', cut: 3 }],
  ["a large one", { body: `{"a":"${"x".repeat(2_000_000)}"}`, headers: { "content-encoding": "identity" } }],
  ["one elsewhere", { status: 302, headers: { location: "https://example.org/x" } }],
] as [string, FakeReply][])("where the homeserver has %s, ours says where we are", async (_name, reply) => {
  hs.fail({ path: FILE }, reply);
  const answer = await api.fetch(FILE);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ "m.homeserver": { base_url: OURS } });
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
});

test("M54: a file with an invalid homeserver gets a valid one", async () => {
  hs.on("GET", FILE, { body: { "m.homeserver": "https://hs.example.org" } });
  expect(await (await api.fetch(FILE)).json()).toEqual({ "m.homeserver": { base_url: OURS } });
});

test("M54: also where the homeserver is away; HEAD and OPTIONS", async () => {
  hs.fail({ path: FILE }, { body: "x", cut: 0 });
  expect(await (await api.fetch(FILE)).json()).toEqual({ "m.homeserver": { base_url: OURS } });
  const head = await api.fetch(FILE, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "56", ""]);
  const options = await api.fetch(FILE, { method: "OPTIONS" });
  expect([options.status, options.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
});

test("M54: other files pass unchanged, and without -public-url all of them do", async () => {
  const body = '{ "m.server":"hs.example.org:443" }';
  hs.on("GET", "/.well-known/matrix/server", { body });
  expect(await (await api.fetch("/.well-known/matrix/server")).text()).toBe(body);
  await api.stop();
  api = await startApi(hs.url);
  const file = '{ "m.homeserver":{"base_url":"https://hs.example.org"},"org.matrix.msc3575.proxy":{"url":"x"} }';
  hs.on("GET", FILE, { body: file, headers: { "content-type": "text/plain" } });
  const answer = await api.fetch(FILE);
  expect(await answer.text()).toBe(file);
  expect(answer.headers.get("content-type")).toBe("text/plain");
});
