/** `-otlp-url`: what a collector receives. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase } from "../../test/support/database.ts";
import { ev, newRoom, startFakeHomeserver, v2 } from "../../test/support/fake-homeserver.ts";
import { SlidingClient } from "../../test/support/sliding.ts";
import { V3Client } from "../../test/support/v3.ts";

type Span = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly status: { readonly code?: number };
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
};
type Export = {
  readonly resourceSpans: readonly { readonly resource: object; readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[];
};

const CANARY = "canary-of-traces";

/** A collector that records what it receives, with the headers. */
async function collector() {
  const got: { readonly spans: Span[]; text: string; authorization: string | undefined; path: string } = {
    spans: [],
    text: "",
    authorization: "",
    path: "",
  };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => void (body += chunk.toString()));
    request.on("end", () => {
      got.text += body;
      got.authorization = request.headers.authorization;
      got.path = request.url ?? "";
      got.spans.push(...(JSON.parse(body) as Export).resourceSpans.flatMap((of) => of.scopeSpans.flatMap((scope) => scope.spans)));
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { got, port: (server.address() as AddressInfo).port };
}

test.each(["1", "2"])(
  "with %s workers: requests with their steps, polls and the storing of answers; no span names a user",
  { timeout: 120_000 },
  async (workers) => {
    const { got, port } = await collector();
    const [database, homeserver] = [await freshDatabase(), await startFakeHomeserver()];
    onTestFinished(async () => {
      await homeserver.stop();
      await database.drop();
    });
    const where = ["-server", homeserver.url, "-db", database.dsn, "-secret", "of the test", "-port", "127.0.0.1:0", "-workers", workers];
    const command = runCommand([...where, "-otlp-url", `http://someone:s%20cret@127.0.0.1:${port}`]);
    const url = (await command.line(/^ *listening/)).trim().split(/ +/)[1] ?? "";
    const me = `@${CANARY}:test`;
    const token = homeserver.login(me);
    homeserver.queueSync(token, v2({ join: { [`!${CANARY}:test`]: { state: newRoom(me), timeline: [ev.message(me, CANARY)] } } }));
    const client = new V3Client(() => url, me, "DEV", token);
    const answer = await client.sync({ room_list: {} });
    // Long enough that the request waits even on a busy machine.
    await client.sync({}, { since: answer.next, timeout: 3000 });
    await new SlidingClient(client, "v4").sync({ lists: { all: { ranges: [[0, 9]], limit: 1 } } });
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect((await client.fetch("POST", "/_matrix/client/v3/sync?since=nonsense", "{}", { traceparent })).status).toBe(400);
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);

    const spans = got.spans.toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)));
    const named = (name: string) => spans.filter((span) => span.name === name);
    const attribute = (span: Span | undefined, key: string) => Object.values(span?.attributes.find((one) => one.key === key)?.value ?? {})[0];
    expect(got).toMatchObject({ path: "/v1/traces", authorization: `Basic ${Buffer.from("someone:s cret").toString("base64")}` });
    expect(named("POST v3").map((span) => attribute(span, "http.response.status_code"))).toEqual([200, 200, 400]);
    expect(named("POST v4")).toHaveLength(1);
    // A step belongs to its request.
    const [, polled] = named("POST v3");
    const steps = spans.filter((span) => span.parentSpanId === polled?.spanId).map(({ name }) => name);
    // Other news may wake it before its end.
    expect(steps.join(" ")).toMatch(/^authenticate evaluate wait( evaluate wait)*( evaluate)?$/);
    // The trace of the caller continues here.
    expect(named("POST v3")[2]).toMatchObject({ traceId: "0af7651916cd43dd8448eb211c80319c", parentSpanId: "b7ad6b7169203331" });
    expect(named("homeserver sync").length).toBeGreaterThan(0);
    expect(attribute(named("store")[0], "responses")).toBe(1);
    expect(got.text).toContain('"syncv3"');
    expect(got.text).not.toContain(CANARY);
    expect(got.text).not.toContain(token);
  },
);

test("N8: a collector that accepts everything and never answers delays neither answers nor the end of the server", { timeout: 60_000 }, async () => {
  const [database, homeserver] = [await freshDatabase(), await startFakeHomeserver()];
  let asked = 0;
  const silent = createServer(() => void (asked += 1)).listen(0, "127.0.0.1");
  onTestFinished(async () => {
    silent.closeAllConnections();
    silent.close();
    await homeserver.stop();
    await database.drop();
  });
  await once(silent, "listening");
  const where = ["-server", homeserver.url, "-db", database.dsn, "-secret", "of the test", "-port", "127.0.0.1:0"];
  const command = runCommand([...where, "-otlp-url", `http://127.0.0.1:${(silent.address() as AddressInfo).port}`]);
  const url = (await command.line(/^ *listening/)).trim().split(/ +/)[1] ?? "";
  expect((await fetch(`${url}/_matrix/client/versions`)).status).toBe(200);
  command.signal("SIGTERM");
  // 1 if the server ended itself because it could not stop cleanly in time.
  expect((await command.ended).code).toBe(0);
  expect(asked).toBeGreaterThan(0);
});

test("a collector that is unavailable delays neither answers nor the end of the server", { timeout: 120_000 }, async () => {
  const [database, homeserver] = [await freshDatabase(), await startFakeHomeserver()];
  onTestFinished(async () => {
    await homeserver.stop();
    await database.drop();
  });
  const where = ["-server", homeserver.url, "-db", database.dsn, "-secret", "of the test", "-port", "127.0.0.1:0"];
  const command = runCommand([...where, "-otlp-url", "http://127.0.0.1:9"]);
  const url = (await command.line(/^ *listening/)).trim().split(/ +/)[1] ?? "";
  expect((await fetch(`${url}/_matrix/client/versions`)).status).toBe(200);
  command.signal("SIGTERM");
  expect((await command.ended).code).toBe(0);
});
