import { request as httpRequest } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import { startFakeHomeserver, type FakeHomeserver } from "../../test/support/fake-homeserver.ts";
import type { RoutePlugin } from "../http/route.ts";
import { forbidden } from "../wire/errors.ts";

let hs: FakeHomeserver;
let api: TestApi;
let alice: string;
let hold: { started: () => void; release: Promise<void> } | null = null;

const routes: RoutePlugin = (app, context) => {
  app.post("/_matrix/client/v3/sync", async (request) => {
    const { userId, deviceId, device } = await context.authenticate(request);
    const body = await context.readJsonBody(request, device);
    const current = hold;
    current?.started();
    await current?.release;
    return { userId, deviceId, body };
  });
  app.get("/_matrix/client/unstable/syncv3/fail", () => {
    throw new Error("the secret reason");
  });
  app.get<{ Params: { code: string } }>("/_matrix/client/unstable/syncv3/database/:code", (request) => {
    throw Object.assign(new Error("relation accounts"), { code: request.params.code });
  });
  app.get("/_matrix/client/unstable/syncv3/forbidden", () => {
    throw forbidden("Not yours");
  });
};

beforeEach(async () => {
  hold = null;
  hs = await startFakeHomeserver();
  alice = hs.login("@alice:test", "PHONE");
  api = await startApi(hs.url, { routes: [routes], limits: { perDevice: 2, total: 4 } });
});
afterEach(async () => {
  await api.stop();
  await hs.stop();
});

const sync = (init: RequestInit & { token?: string } = {}, query = "") =>
  api.fetch(`/_matrix/client/v3/sync${query}`, { method: "POST", token: alice, ...init });

async function errorOf(response: Promise<Response>): Promise<unknown> {
  const answer = await response;
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  return { status: answer.status, ...((await answer.json()) as object) };
}

test("D2: a request is authenticated, its device polled, its account noted as seen", async () => {
  const answer = await sync({ body: '{"typing":{}}' });
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ userId: "@alice:test", deviceId: "PHONE", body: { typing: {} } });
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  expect(api.polled).toHaveLength(1);
});

test("R2, D2: missing and wrong tokens", async () => {
  const { token: _, ...none } = { token: alice };
  expect(await errorOf(api.fetch("/_matrix/client/v3/sync", { method: "POST", ...none }))).toMatchObject({ status: 401, errcode: "M_MISSING_TOKEN" });
  expect(await errorOf(api.fetch(`/_matrix/client/v3/sync?access_token=${alice}`, { method: "POST" }))).toEqual({
    status: 401,
    errcode: "M_MISSING_TOKEN",
    error: "The access token must be in the Authorization header: the access_token parameter is not supported here",
  });
  expect(await errorOf(sync({ token: "nonsense" }))).toMatchObject({ status: 401, errcode: "M_UNKNOWN_TOKEN", soft_logout: false });
  expect(await errorOf(sync({}, "?user_id=@bob:test"))).toMatchObject({ status: 403, errcode: "M_FORBIDDEN" });
  expect(api.polled).toHaveLength(0);
});

test("D4: the homeserver is away at first contact", async () => {
  hs.fail({ path: "whoami" }, { status: 503, body: "busy" });
  expect(await errorOf(sync())).toMatchObject({ status: 502, errcode: "M_UNKNOWN", error: expect.stringMatching(/503/) });
});

test("D21: the homeserver's rate limit is passed on", async () => {
  hs.fail({ path: "whoami" }, { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1234 } });
  const answer = await sync();
  expect(answer.headers.get("retry-after")).toBe("2");
  expect(await errorOf(Promise.resolve(answer))).toMatchObject({ status: 429, errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1234 });
});

test.each(["application/json", "text/html", "garbage", "a/b/c;;", ""])("D5: Content-Type %j is ignored", async (type) => {
  const answer = await sync({ body: '{"a":1}', headers: { "content-type": type } });
  expect(await answer.json()).toMatchObject({ body: { a: 1 } });
});

test.each([undefined, "", " \n "])("D5: body %j is {}", async (body) => {
  expect(await (await sync(body === undefined ? {} : { body })).json()).toMatchObject({ body: {} });
});

test.each(["{", "{}x", "{} {}", "{'a':1}", "nonsense", '{"a":1,}'])("D5, B16: body %j is not JSON", async (body) => {
  expect(await errorOf(sync({ body }))).toMatchObject({ status: 400, errcode: "M_NOT_JSON" });
});

test("D5: a body that is not UTF-8 is not JSON", async () => {
  expect(await errorOf(sync({ body: Buffer.from([0x22, 0xff, 0x22]) }))).toMatchObject({ status: 400, errcode: "M_NOT_JSON" });
});

test("D5: a body of 1 MiB is read, one byte more is not, announced or not", async () => {
  const text = (size: number) => `"${"x".repeat(size - 2)}"`;
  expect((await sync({ body: text(1024 * 1024) })).status).toBe(200);
  expect(await errorOf(sync({ body: text(1024 * 1024 + 1) }))).toMatchObject({ status: 413, errcode: "M_TOO_LARGE" });
  const stream = new Blob([text(1024 * 1024 + 1)]).stream();
  expect(await errorOf(sync({ body: stream, duplex: "half" }))).toMatchObject({ status: 413, errcode: "M_TOO_LARGE" });
});

test("D1: OPTIONS is answered by us below /_matrix", async () => {
  for (const path of ["/_matrix/client/v3/sync", "/_matrix/client/r0/sync", "/_matrix/client/v3/rooms/x/send/y/z", "/_matrix"]) {
    const answer = await api.fetch(path, { method: "OPTIONS" });
    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-allow-methods")).toMatch(/POST/);
    expect(answer.headers.get("access-control-allow-headers")).toMatch(/Authorization/);
  }
  expect(hs.requests).toHaveLength(0);
});

test.each(["PUT", "DELETE", "PATCH"])("D1: %s on the sync path is 405", async (method) => {
  expect(await errorOf(api.fetch("/_matrix/client/v3/sync", { method, token: alice }))).toMatchObject({ status: 405, errcode: "M_UNRECOGNIZED" });
  expect(await errorOf(api.fetch("/_matrix/client/v3/%73ync", { method, token: alice }))).toMatchObject({ status: 405 });
  expect(hs.requests).toHaveLength(0);
});

test("outside the prefixes everything is 404, whatever the method", async () => {
  for (const [method, path] of [
    ["GET", "/"],
    ["POST", "/login"],
    ["PUT", "/_synapse/admin/v1/x"],
    ["GET", "/health"],
    ["OPTIONS", "/x"],
  ] as const) {
    expect(await errorOf(api.fetch(path, { method })), path).toMatchObject({ status: 404, errcode: "M_UNRECOGNIZED" });
  }
  expect(hs.requests).toHaveLength(0);
});

test("-pass-admin: the homeserver's admin API passes, and nothing beside it", async () => {
  hs.on("PUT", "/_synapse/admin/v2/users/:user", ({ token }) => ({ body: { token } }));
  const open = await startApi(hs.url, { passAdmin: true });
  const put = (of: TestApi, path: string) => of.fetch(path, { method: "PUT", token: alice });
  expect(await (await put(open, "/_synapse/admin/v2/users/%40a:test")).json()).toEqual({ token: alice });
  for (const [of, path] of [
    [open, "/_synapse/metrics"],
    [open, "/_synapse//admin/v2/users/a"],
    [api, "/_synapse/admin/v2/users/%40a:test"],
  ] as const) {
    expect(await errorOf(put(of, path)), path).toMatchObject({ status: 404, errcode: "M_UNRECOGNIZED" });
  }
  await open.stop();
  expect(hs.requests).toHaveLength(1);
});

test("B22: the details of an unexpected error are only in the log", async () => {
  expect(await errorOf(api.fetch("/_matrix/client/unstable/syncv3/fail"))).toEqual({
    status: 500,
    errcode: "M_UNKNOWN",
    error: "Internal server error",
  });
  expect(await errorOf(api.fetch("/_matrix/client/unstable/syncv3/forbidden"))).toEqual({ status: 403, errcode: "M_FORBIDDEN", error: "Not yours" });
});

test.each(["/_matrix/../_synapse/admin", "/_matrix/%2e%2e/x", "http://evil.example/_matrix/client/versions", "/_matrix/%zz"])(
  "target %s is refused",
  async (path) => {
    const { hostname, port } = new URL(api.url);
    const status = await new Promise((resolve, reject) => {
      httpRequest({ hostname, port, path }, (answer) => {
        answer.resume();
        resolve([answer.statusCode, answer.headers["access-control-allow-origin"]]);
      })
        .on("error", reject)
        .end();
    });
    expect(status).toEqual([400, "*"]);
    expect(hs.requests).toHaveLength(0);
  },
);

test("D21: more requests at once than a device may have are refused, and room is made as they end", async () => {
  let release = (): void => {};
  let started = 0;
  const bothStarted = new Promise<void>((resolve) => {
    hold = {
      started: () => {
        if (++started === 2) resolve();
      },
      release: new Promise((done) => {
        release = done;
      }),
    };
  });
  const waiting = [sync(), sync()];
  await bothStarted;
  const refused = await sync();
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(await errorOf(Promise.resolve(refused))).toMatchObject({ status: 429, errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1000 });
  expect((await sync({ token: hs.login("@alice:test", "TABLET"), body: "[" })).status, "another device has its own limit").toBe(400);
  hold = null;
  release();
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
  await expect.poll(async () => (await sync()).status).toBe(200);
});

test("D21: more requests at once than an address may have are refused, of whatever device; another address has its own limit", async () => {
  const limited = await startApi(hs.url, { routes: [routes], limits: { perAddress: 1 }, trustedProxies: ["127.0.0.1"] });
  let release = (): void => {};
  const started = new Promise<void>((resolve) => {
    hold = { started: resolve, release: new Promise((done) => (release = done)) };
  });
  const from = (address: string, token: string) =>
    limited.fetch("/_matrix/client/v3/sync", { method: "POST", token, headers: { "x-forwarded-for": address } });
  const waiting = from("192.0.2.7", alice);
  await started;
  hold = null;
  expect((await from("192.0.2.7", hs.login("@bob:test"))).status).toBe(429);
  expect((await from("192.0.2.8", alice)).status).toBe(200);
  release();
  expect((await waiting).status).toBe(200);
  await limited.stop();
});

test("/health/live always answers 200, /health/ready when the database can be reached", async () => {
  expect(await (await api.fetch("/health/live")).json()).toEqual({ status: "live" });
  expect(await (await api.fetch("/health/ready")).json()).toEqual({ status: "ready" });
  expect((await api.fetch("/health/ready", { method: "HEAD" })).status).toBe(200);
  const away = await startApi(hs.url, { ready: () => Promise.reject(new Error("connection refused")) });
  expect((await away.fetch("/health/live")).status).toBe(200);
  expect((await away.fetch("/health/ready")).status).toBe(503);
  await away.stop();
});

test.each(["57014", "42501", "42P01", "53100", "57P01", "ECONNREFUSED"])(
  "N8: the database's error %s is 503 with words and when to come again",
  async (code) => {
    const answer = await api.fetch(`/_matrix/client/unstable/syncv3/database/${code}`);
    expect([answer.status, Number(answer.headers.get("retry-after"))]).toEqual([503, expect.toSatisfy((seconds: number) => seconds > 0)]);
    const body = (await answer.json()) as object;
    expect(body).toEqual({ errcode: "M_UNKNOWN", error: expect.stringMatching(/^The database .*: try again/) });
    expect(JSON.stringify(body)).not.toContain("accounts");
  },
);
