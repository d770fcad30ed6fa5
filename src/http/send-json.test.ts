import { gunzipSync } from "node:zlib";
import fastify from "fastify";
import { expect, test } from "vitest";
import { sendJson } from "./send-json.ts";

const LARGE = JSON.stringify({ text: "ü".repeat(5000) });

async function answered(body: string | Buffer, acceptEncoding?: string) {
  const app = fastify();
  app.get("/", (request, reply) => sendJson(request, reply, body));
  return app.inject({ url: "/", headers: acceptEncoding === undefined ? {} : { "accept-encoding": acceptEncoding } });
}

test("a large answer is packed for clients that take it, and the same in the end", async () => {
  for (const body of [LARGE, Buffer.from(LARGE)]) {
    const packed = await answered(body, "br, gzip;q=0.8");
    expect(packed.headers).toMatchObject({ "content-encoding": "gzip", vary: "Accept-Encoding" });
    expect(packed.headers["content-type"]).toContain("application/json");
    expect(packed.rawPayload.length).toBeLessThan(1000);
    expect(gunzipSync(packed.rawPayload).toString()).toBe(LARGE);
  }
});

test("a small one is not, nor any for who does not take it", async () => {
  for (const [body, accepted] of [
    ["{}", "gzip"],
    [LARGE, undefined],
    [LARGE, "br"],
    [LARGE, "gzip;q=0"],
  ] as const) {
    const plain = await answered(body, accepted);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(plain.payload).toBe(body);
  }
});
