import { afterEach, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { MEDIA_HEADERS } from "./media-headers.ts";

let hs: FakeHomeserver;
let api: TestApi;

beforeEach(async () => {
  hs = await startFakeHomeserver();
  api = await startApi(hs.url);
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

const MEDIA = [
  "/_matrix/media/v3/download/hs/id",
  "/_matrix/media/r0/thumbnail/hs/id?width=1&height=1",
  "/_matrix/client/v1/media/download/hs/id/name.html",
  "/_matrix/client/v1/media/thumbnail/hs/id",
  "/_matrix/client/unstable/org.matrix.msc3916/media/download/hs/id",
];

test.each(MEDIA)("%s gets the headers that it lacks", async (path) => {
  hs.on("GET", path.split("?", 1)[0] ?? "", { body: "<script>", headers: { "content-type": "text/html" } });
  const answer = await api.fetch(path);
  expect(await answer.text()).toBe("<script>");
  expect(Object.fromEntries(answer.headers)).toMatchObject({ ...MEDIA_HEADERS, "content-type": "text/html" });
});

test("M55: the homeserver's own go before", async () => {
  const headers = { "content-security-policy": "sandbox;", "x-content-type-options": "other" };
  const [path = ""] = MEDIA;
  hs.on("GET", path, { headers });
  expect(Object.fromEntries((await api.fetch(path)).headers)).toMatchObject(headers);
});

test.each([
  ["GET", "/_matrix/media/v3/config"],
  ["GET", "/_matrix/client/v3/profile/media"],
  ["POST", "/_matrix/media/v3/upload"],
  ["GET", "/_matrix/federation/v1/media/download/id"],
])("%s %s gets none", async (method, path) => {
  hs.on(method, path, { body: {} });
  const answer = await api.fetch(path, { method });
  expect(answer.status).toBe(200);
  for (const name of Object.keys(MEDIA_HEADERS)) expect(answer.headers.get(name), name).toBeNull();
});
