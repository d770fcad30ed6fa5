import { gunzipSync, gzipSync } from "node:zlib";
import { request } from "undici";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver, type FakeReply } from "../../test/support/fake-homeserver.ts";
import type { ServerDeps } from "./http-server.ts";
import { SIMPLIFIED_SYNC } from "../wire/versions.ts";
import { editVersions } from "./versions.ts";

const VERSIONS = "/_matrix/client/versions";

let hs: FakeHomeserver;
let api: TestApi;

beforeEach(async () => {
  hs = await startFakeHomeserver();
  await serve();
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

async function serve(over: Partial<ServerDeps> = {}): Promise<void> {
  await (api as TestApi | undefined)?.stop();
  api = await startApi(hs.url, { versionFeatures: [SIMPLIFIED_SYNC, "org.matrix.msc4508"], ...over });
}

const says = (reply: FakeReply) => hs.on("GET", VERSIONS, reply);

test("M53 M80: what we have is put in, what ours cannot give is put out, and all else keeps its bytes", async () => {
  const body = `{"versions": ["v1.1","v1.11"], "x": 1.0,
    "unstable_features":{"org.matrix.msc4306":true,"org.matrix.msc3440.stable":true,"org.matrix.msc4354":true,"org.matrix.msc4360":false}}`;
  says({ body, headers: { "cache-control": "public, max-age=60", etag: '"1"' } });
  const alice = hs.login("@alice:test");
  for (const token of [undefined, alice]) {
    const answer = await api.fetch(VERSIONS, token === undefined ? {} : { token });
    const text = await answer.text();
    expect(text).toContain('{"versions": ["v1.1","v1.11"], "x": 1.0,');
    expect(JSON.parse(text)).toEqual({
      versions: ["v1.1", "v1.11"],
      x: 1,
      unstable_features: {
        "org.matrix.msc3440.stable": true,
        "org.matrix.msc4306": true,
        "org.matrix.msc4354": true,
        "org.matrix.msc4360": false,
        [SIMPLIFIED_SYNC]: true,
        "org.matrix.msc4480": true,
        "org.matrix.msc4508": true,
      },
    });
    expect(answer.headers.get("cache-control")).toBe("public, max-age=60");
    expect(answer.headers.get("etag")).toBeNull();
  }
  expect(hs.seen({ path: VERSIONS }).map((one) => one.token)).toEqual([undefined, alice]);
});

test.each([
  ['{"versions":[]}', { versions: [], unstable_features: { f: true } }],
  ['{"unstable_features":null}', { unstable_features: { f: true } }],
  ['{"unstable_features":{"f":false}}', { unstable_features: { f: true } }],
  [
    '{"unstable_features":{"org.matrix.msc4262":true,"org.matrix.msc4308":true}}',
    { unstable_features: { f: true, "org.matrix.msc4308": true, "org.matrix.msc4262": false } },
  ],
])("of %s", async (text, expected) => {
  const edit = editVersions({ features: ["f", ...(text.includes("4308") ? ["org.matrix.msc4308"] : [])], preferNative: false });
  expect(JSON.parse((await edit(text)) ?? "null")).toEqual(expected);
});

test.each([
  ["with sliding sync and thread subscriptions", { [SIMPLIFIED_SYNC]: true, "org.matrix.msc4306": true }, true],
  ["without sliding sync", { "org.matrix.msc4306": true }, false],
  ["without thread subscriptions", { [SIMPLIFIED_SYNC]: true, "org.matrix.msc4306": false }, false],
])("M80 M53: thread subscriptions in sliding sync are listed for a homeserver %s: %s", async (_name, features, listed) => {
  const edit = editVersions({ features: [SIMPLIFIED_SYNC], preferNative: false });
  const answer = JSON.parse((await edit(JSON.stringify({ unstable_features: { ...features, "org.matrix.msc4308": true } }))) ?? "null") as unknown;
  expect(answer).toEqual({ unstable_features: { ...features, [SIMPLIFIED_SYNC]: true, "org.matrix.msc4308": listed } });
});

test.each([true, false, null, undefined])(
  "M74: sticky events are there if the homeserver has them (%s), whose flag stays as it is",
  async (theirs) => {
    const flags = { "org.matrix.msc4354": theirs };
    const edited = await editVersions({ features: ["f"], preferNative: false })(JSON.stringify({ unstable_features: flags }));
    const expected = { f: true, ...(theirs !== undefined && flags), ...(theirs === true && { "org.matrix.msc4480": true }) };
    expect(JSON.parse(edited ?? "null")).toEqual({ unstable_features: expected });
  },
);

test.each([true, false, undefined])("M69: profiles are there if v2 has them (%s), whatever the homeserver's own sliding sync has", async (theirs) => {
  const flags = { "org.matrix.msc4262": true, "org.matrix.msc4429": theirs };
  const edited = await editVersions({ features: ["f"], preferNative: false })(JSON.stringify({ unstable_features: flags }));
  expect(JSON.parse(edited ?? "null")).toEqual({ unstable_features: { ...flags, "org.matrix.msc4262": theirs === true, f: true } });
});

test("M53: it is compressed if the homeserver's was, and plain for clients that do not accept compression", async () => {
  const padding = "x".repeat(5000);
  says({ body: { versions: [padding] } });
  const zipped = await request(api.url + VERSIONS, { headers: { "accept-encoding": "br, gzip" } });
  expect(zipped.headers).toMatchObject({ "content-encoding": "gzip" });
  const bytes = Buffer.from(await zipped.body.arrayBuffer());
  expect(zipped.headers["content-length"]).toBe(String(bytes.length));
  expect(JSON.parse(gunzipSync(bytes).toString())).toMatchObject({ versions: [padding], unstable_features: { [SIMPLIFIED_SYNC]: true } });
  const plain = await request(api.url + VERSIONS, { headers: { "accept-encoding": "br, gzip;q=0" } });
  expect(plain.headers["content-encoding"]).toBeUndefined();
  expect(await plain.body.json()).toMatchObject({ unstable_features: { [SIMPLIFIED_SYNC]: true } });
  expect(hs.seen({ path: VERSIONS }).map((one) => one.headers["accept-encoding"])).toEqual(["gzip", "identity"]);
});

test("M53: a client's copy from another time is no reason to omit it", async () => {
  const headers = { "if-none-match": '"1"', "if-modified-since": "Thu, 01 Jan 2026 00:00:00 GMT", range: "bytes=0-1" };
  expect((await api.fetch(VERSIONS, { headers })).status).toBe(200);
  const [asked] = hs.seen({ path: VERSIONS });
  for (const name of Object.keys(headers)) expect(asked?.headers[name], name).toBeUndefined();
});

test.each([
  ["no JSON", { body: "<html>", headers: { "content-type": "text/html", etag: '"1"' } }],
  ["no object", { body: "[1]" }],
  ["nothing", { body: "" }],
  ["cut short", { body: '{"versions":[' }],
  ["not UTF-8", { body: Buffer.from([0x7b, 0xff, 0x7d]) }],
  ["badly packed", { body: "plain", headers: { "content-encoding": "gzip" } }],
  ["packed otherwise", { body: gzipSync("{}"), headers: { "content-encoding": "zstd" } }],
  ["an error", { status: 404, body: '{"errcode": "M_UNRECOGNIZED"}' }],
  ["large", { body: `{"versions":["${"x".repeat(2_000_000)}"]}`, headers: { "content-encoding": "identity" } }],
  ["large when unpacked", { body: gzipSync(`{"versions":["${"x".repeat(10_000_000)}"]}`), headers: { "content-encoding": "gzip" } }],
] as [string, FakeReply][])("%s: as it comes", async (_name, reply) => {
  says(reply);
  const direct = await request(hs.url + VERSIONS);
  const passed = await request(api.url + VERSIONS);
  const { date: _, connection: _1, "keep-alive": _2, ...headers } = direct.headers;
  expect(passed.statusCode).toBe(direct.statusCode);
  expect(passed.headers).toMatchObject(headers);
  expect(Buffer.from(await passed.body.arrayBuffer()).equals(Buffer.from(await direct.body.arrayBuffer()))).toBe(true);
});

test("M53: an answer that breaks off is 502", async () => {
  hs.fail({ path: VERSIONS }, { body: "x".repeat(1000), cut: 10 });
  const answer = await api.fetch(VERSIONS);
  expect(answer.status).toBe(502);
  expect(await answer.json()).toMatchObject({ error: expect.stringMatching(/^The homeserver's answer broke off/) });
});

test("M53: HEAD has the headers of GET; OPTIONS is answered by us; POST passes", async () => {
  const plain = { headers: { "accept-encoding": "identity" } };
  const length = (await (await api.fetch(VERSIONS, plain)).text()).length;
  const head = await api.fetch(VERSIONS, { method: "HEAD", ...plain });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, String(length), ""]);
  expect((await api.fetch(VERSIONS, { method: "OPTIONS" })).status).toBe(204);
  expect((await api.fetch(VERSIONS, { method: "POST" })).status).toBe(404);
});

test("M53: an escaped path is the same path", async () => {
  expect(await (await api.fetch("/_matrix/client/%76ersions")).json()).toMatchObject({ errcode: "M_UNRECOGNIZED" });
  hs.on("GET", "/_matrix/client/%76ersions", { body: {} });
  expect(await (await api.fetch("/_matrix/client/%76ersions")).json()).toMatchObject({ unstable_features: { [SIMPLIFIED_SYNC]: true } });
});

test("M56 M53: -prefer-native: a homeserver with sliding sync of its own speaks for itself, another one does not", async () => {
  await serve({ preferNative: true });
  const body = `{"versions":[],"unstable_features":{"${SIMPLIFIED_SYNC}":true,"org.matrix.msc4306":true}}`;
  says({ body });
  expect(await (await api.fetch(VERSIONS)).text()).toBe(body);
  says({ body: body.replaceAll("true", "false") });
  expect(await (await api.fetch(VERSIONS)).json()).toMatchObject({ unstable_features: { [SIMPLIFIED_SYNC]: true, "org.matrix.msc4306": false } });
});

test("M53: where we have nothing to say, nothing is touched", async () => {
  await serve({ versionFeatures: [] });
  const body = '{"unstable_features":{"org.matrix.msc4306":true}}';
  says({ body });
  expect(await (await api.fetch(VERSIONS)).text()).toBe(body);
});
