import { describe, expect, it } from "vitest";
import { silentLogger } from "../base/logger.ts";
import type { Wake } from "../feed/hub.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { KeyUploads, uploadOf } from "./key-uploads.ts";
import type { UploadedKeys } from "../wire/key-counts.ts";
import type { KeyUploadStore } from "./ports.ts";

const REF = { account: 3 as AccountNo, device: 4 as DeviceNo };
const ANSWER = '{"one_time_key_counts":{"signed_curve25519":50}}';
const BODY = Buffer.from('{"one_time_keys":{"signed_curve25519:A":{}}}');

it.each<[string, string, ReturnType<typeof uploadOf>]>([
  ["POST", "/_matrix/client/v3/keys/upload", { deviceId: null }],
  ["POST", "/_matrix/client/r0/keys/upload?access_token=x", { deviceId: null }],
  ["POST", "/_matrix/client/unstable/keys/upload/", { deviceId: null }],
  ["POST", "/_matrix/client/r0/keys/upload/A%2FB", { deviceId: "A/B" }],
  ["PUT", "/_matrix/client/v3/keys/upload", null],
  ["POST", "/_matrix/client/v3/keys/upload/A/B", null],
  ["POST", "/_matrix/client/v3/keys/query", null],
  ["POST", "/_matrix/client/v3/keys/device_signing/upload", null],
  ["POST", "/_matrix/federation/v1/keys/upload", null],
])("T11: %s %s", (method, target, expected) => {
  expect(uploadOf(method, target)).toEqual(expected);
});

describe("what is learned", () => {
  function learner(store: KeyUploadStore["uploaded"]) {
    const wakes: Wake[] = [];
    const uploads = new KeyUploads({
      store: { uploaded: store },
      feed: { publish: (wake) => void wakes.push(wake) },
      logger: silentLogger(),
      patienceMs: 50,
    });
    return { uploads, wakes };
  }

  async function learned(body: unknown, answer = ANSWER): Promise<UploadedKeys[]> {
    const stored: UploadedKeys[] = [];
    const { uploads } = learner(async (_, keys) => void stored.push(keys));
    await uploads.learn(() => Promise.resolve(REF), Buffer.from(JSON.stringify(body)), answer);
    return stored;
  }

  it("T11: counts of the answer, fallback key types of the body; waiting requests and the poller are notified of the device", async () => {
    const { uploads, wakes } = learner(async () => {});
    await uploads.learn(() => Promise.resolve(REF), BODY, ANSWER);
    expect(wakes).toEqual([{ type: "news", ...REF, kinds: new Set(["key_counts", "keys_uploaded"]), rooms: new Set() }]);
    const both = { fallback_keys: { "a:1": {}, "a:2": {} }, "org.matrix.msc2732.fallback_keys": { "b:1": {} } };
    expect(await learned(both)).toEqual([{ counts: { signed_curve25519: 50 }, fallbackTypes: ["a", "b"] }]);
    expect(await learned({ fallback_keys: { "": {}, ":x": {} } })).toEqual([]);
  });

  it("T11: however many algorithms there are, few are stored", async () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`a${n}:1`, {}]));
    const counts = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`a${n}`, 1]));
    const [keys] = await learned({ fallback_keys: many }, JSON.stringify({ one_time_key_counts: counts }));
    expect(keys?.fallbackTypes).toHaveLength(20);
    expect(Object.keys(keys?.counts ?? {})).toHaveLength(20);
  });

  it.each<[string, KeyUploadStore["uploaded"]]>([
    ["a database that fails", () => Promise.reject(new Error("down"))],
    ["a database that does not answer", () => new Promise(() => {})],
  ])("T11: %s fails no upload, and wakes no request", async (_, store) => {
    const { uploads, wakes } = learner(store);
    await uploads.learn(() => Promise.resolve(REF), BODY, ANSWER);
    expect(wakes).toEqual([]);
    expect(await uploads.find(() => Promise.reject(new Error("down")))).toBeNull();
    expect(await uploads.find(() => new Promise(() => {}))).toBeNull();
  });

  it("T11: nothing is stored of an unknown device", async () => {
    const { uploads, wakes } = learner(() => Promise.reject(new Error("stored")));
    await uploads.learn(() => Promise.resolve(null), BODY, ANSWER);
    expect(wakes).toEqual([]);
  });
});
