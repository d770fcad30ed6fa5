import { afterEach, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { logsIn } from "./login-answers.ts";

let hs: FakeHomeserver;
let told: TestApi;
let silent: TestApi;

beforeEach(async () => {
  hs = await startFakeHomeserver();
  [told, silent] = await Promise.all([startApi(hs.url, { publicUrl: "https://sync.example.org" }), startApi(hs.url)]);
});
afterEach(async () => {
  await Promise.all([told.stop(), silent.stop()]);
  await hs.stop();
});

test.each([
  ["POST", "/_matrix/client/v3/login", true],
  ["POST", "/_matrix/client/r0/login?x=1", true],
  ["POST", "/_matrix/client/api/v1/login", true],
  ["POST", "/_matrix/client/v3/register?kind=guest", true],
  ["POST", "/_matrix/client/unstable/register", true],
  ["GET", "/_matrix/client/v3/login", false],
  ["POST", "/_matrix/client/v1/login/get_token", false],
  ["POST", "/_matrix/client/v3/register/available", false],
  ["POST", "/_matrix/client/v3/refresh", false],
])("%s %s is a log-in: %s", (method, target, expected) => {
  expect(logsIn(method, target)).toBe(expected);
});

const BODY = '{"user_id":"@alice:test", "expires_in_ms":1.0,"well_known":{"m.homeserver":{"base_url":"https://hs.example.org/"},"m.x":{}}}';
const LOGIN = "/_matrix/client/v3/login";

test.each([LOGIN, "/_matrix/client/r0/register"])("%s: our address where it is known, else none", async (path) => {
  hs.on("POST", path, (request) => ({ body: request.body === "{}" ? BODY : "wrong" }));
  const ask = async (api: TestApi) => (await api.fetch(path, { method: "POST", body: "{}" })).text();
  const kept = '{"user_id":"@alice:test", "expires_in_ms":1.0';
  expect(await ask(silent)).toBe(`${kept}}`);
  const text = await ask(told);
  expect(text).toContain(kept);
  expect(JSON.parse(text)).toMatchObject({ well_known: { "m.homeserver": { base_url: "https://sync.example.org" }, "m.x": {} } });
});

test.each([
  ["no well_known", 200, '{ "user_id":"@alice:test" }'],
  ["no JSON", 200, "<html>"],
  ["a refusal", 403, BODY],
  ["a step of several", 401, '{ "flows":[],"well_known":{}}'],
])("%s: as it comes", async (_name, status, body) => {
  hs.on("POST", LOGIN, { status, body });
  for (const api of [told, silent]) {
    const answer = await api.fetch(LOGIN, { method: "POST", body: "{}" });
    expect([answer.status, await answer.text()]).toEqual([status, body]);
  }
});

test("M54: the flows of GET pass", async () => {
  hs.on("GET", LOGIN, { body: BODY });
  expect(await (await silent.fetch(LOGIN)).text()).toBe(BODY);
});
