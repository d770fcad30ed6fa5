/** T11: when keys are uploaded through the server, the very next answer has the right counts, whatever pending polls say. */

import { describe, expect, it } from "vitest";
import { type Json, toDevice, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { hangSliding, NOTED, SHORT } from "../support/sliding-waits.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const E2EE: Ask = { ext: { e2ee: { enabled: true } } };
const UPLOAD = "/_matrix/client/v3/keys/upload";
const BODY = { one_time_keys: { "signed_curve25519:A": { key: "A" } }, fallback_keys: { "signed_curve25519:F": { key: "F", fallback: true } } };
const NONE = { device_one_time_keys_count: { signed_curve25519: 0 }, device_unused_fallback_key_types: [] };
const UPLOADED = { device_one_time_keys_count: { signed_curve25519: 50 }, device_unused_fallback_key_types: ["signed_curve25519"] };
const sectionOf = (answer: Answer): Json => answer.extensions["e2ee"] as Json;

/** Has the homeserver accept uploads of keys. `meanwhile`: runs before it answers. */
function takesKeys(counts: Json = { signed_curve25519: 50 }, meanwhile: () => Promise<void> = () => Promise.resolve()): void {
  t.hs.on("POST", UPLOAD, async () => {
    await meanwhile();
    return { body: { one_time_key_counts: counts } };
  });
}

/** From now on polls return these counts too. */
const countKeys = (client: V3Client) => t.hs.setKeys(client.token, { signed_curve25519: 50 }, ["signed_curve25519"]);
const upload = (client: V3Client, body: unknown = BODY, path = UPLOAD) => client.fetch("POST", path, JSON.stringify(body));
const polls = (client: V3Client) => t.hs.polls(client.token).length;

describe.each(DIALECTS)("uploads of keys (%s)", (dialect) => {
  /** A device without keys, whose poll is pending. */
  async function withoutKeys() {
    const { client, me } = scene(t);
    t.hs.setKeys(client.token, { signed_curve25519: 0 }, []);
    const phone = new SlidingClient(client, dialect);
    await phone.sync();
    await t.deliver(client, v2({ one_time_keys: { signed_curve25519: 0 }, fallback_keys: [] }));
    return { client, me, phone, first: await phone.sync(E2EE) };
  }

  it("T11: the next answer has the counts of the upload's answer and the fallback key types of its body", async () => {
    const { client, phone, first } = await withoutKeys();
    expect(sectionOf(first)).toEqual(NONE);
    countKeys(client);
    takesKeys();
    expect((await upload(client)).body).toEqual({ one_time_key_counts: { signed_curve25519: 50 } });
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual(UPLOADED);
    expect(sectionOf(await phone.sync(E2EE))).toEqual(UPLOADED);
  });

  it("T11: so has one that waits", async () => {
    const { client, phone, first } = await withoutKeys();
    countKeys(client);
    takesKeys();
    const { answer } = await hangSliding(t, phone, E2EE, { pos: first.pos, timeout: 3000 });
    await upload(client);
    expect(sectionOf(await answer)).toEqual(UPLOADED);
  });

  it("T11: a poll that was sent before the upload was answered changes nothing; the next one is sent at once, and does", async () => {
    const { client, phone, first } = await withoutKeys();
    const old = v2({ one_time_keys: { signed_curve25519: 0 }, fallback_keys: [], to_device: [toDevice("@bob:test")] });
    // The homeserver answers the poll with the counts from before the upload, which it has accepted but not answered yet.
    takesKeys({ signed_curve25519: 50 }, async () => t.hs.queueSync(client.token, old));
    const before = polls(client);
    t.hs.setKeys(client.token, { signed_curve25519: 49 }, []);
    await upload(client);
    await t.hs.waitForRequest(
      { path: /\/sync$/, token: client.token, where: ({ query, status }) => query.get("timeout") === "0" && status === 200 },
      2,
    );
    await t.hs.waitForPoll(client.token);
    expect(polls(client)).toBeGreaterThan(before);
    const then = await phone.sync({ ext: { e2ee: { enabled: true }, to_device: { enabled: true } } }, { pos: first.pos });
    expect(sectionOf(then)).toEqual({ device_one_time_keys_count: { signed_curve25519: 49 }, device_unused_fallback_key_types: [] });
    expect(then.extensions["to_device"].events).toHaveLength(1);
  });

  it("T11: the older names of the path and of fallback keys", async () => {
    const { client, phone, first } = await withoutKeys();
    countKeys(client);
    t.hs.on("POST", "/_matrix/client/r0/keys/upload/PHONE", { body: { one_time_key_counts: { signed_curve25519: 50 } } });
    await upload(client, { "org.matrix.msc2732.fallback_keys": BODY.fallback_keys }, "/_matrix/client/r0/keys/upload/PHONE");
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual(UPLOADED);
  });

  it.each<[string, unknown, Json | string, number]>([
    ["that the homeserver refuses", BODY, { errcode: "M_INVALID_PARAM", error: "no" }, 400],
    ["without keys", { device_keys: { user_id: "@a:b" } }, { one_time_key_counts: { signed_curve25519: 7 } }, 200],
    ["with empty keys", { one_time_keys: {}, fallback_keys: {} }, { one_time_key_counts: { signed_curve25519: 7 } }, 200],
    ["that is no object", [1], { one_time_key_counts: { signed_curve25519: 7 } }, 200],
    ["whose answer has no counts", BODY, {}, 200],
    ["whose answer is no JSON", BODY, "<html>", 200],
  ])("T11: an upload %s changes nothing", async (_, body, answer, status) => {
    const { client, phone, first } = await withoutKeys();
    t.hs.on("POST", UPLOAD, { status, body: answer });
    const before = polls(client);
    const reply = await upload(client, body);
    expect(reply.status).toBe(status);
    expect(reply.text).toBe(typeof answer === "string" ? answer : JSON.stringify(answer));
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos, timeout: SHORT }))).toEqual(NONE);
    expect(polls(client), "and no poll is sent").toBe(before);
  });

  it("T11: invalid counts are left out, and an unknown device can upload too", async () => {
    const { client, phone, first } = await withoutKeys();
    t.hs.setKeys(client.token, { signed_curve25519: 3 }, ["signed_curve25519"]);
    takesKeys({ signed_curve25519: 3, a: -1, b: "3", c: 1.5, d: null });
    await upload(client);
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos }))).toMatchObject({ device_one_time_keys_count: { signed_curve25519: 3 } });
    expect((await upload(t.login("@stranger:test", "PHONE"))).status).toBe(200);
  });

  it("T11: another device's upload changes its own counts alone", async () => {
    const { client, me, phone, first } = await withoutKeys();
    const tablet = new SlidingClient(t.login(me, "TABLET"), dialect);
    countKeys(tablet.client);
    takesKeys();
    await tablet.sync(E2EE);
    await upload(tablet.client);
    expect(sectionOf(await tablet.sync(E2EE))).toEqual(UPLOADED);
    expect(sectionOf(await phone.sync(E2EE, { pos: first.pos }))).toEqual(NONE);
    await t.hs.waitForPoll(client.token);
  });
});

it("T11: sync v3: the next answer has them, and they alone end no wait", async () => {
  const { client } = scene(t);
  t.hs.setKeys(client.token, { signed_curve25519: 0 }, []);
  await client.sync({ e2ee: {} });
  await t.deliver(client, v2({ one_time_keys: { signed_curve25519: 0 }, fallback_keys: [] }));
  const first = await client.sync({ e2ee: {} });
  expect(first["e2ee"]).toEqual(NONE);
  countKeys(client);
  takesKeys();
  await upload(client);
  const second = await client.sync({}, { since: first.next });
  expect(second["e2ee"]).toEqual(UPLOADED);
  expect(Object.keys(await client.sync({}, { since: second.next }))).toEqual(["next"]);
});

it("T11: a device that is not polled yet has the counts of its upload", async () => {
  const { me, client } = scene(t);
  await client.sync();
  const token = t.hs.login(me, "TABLET");
  t.hs.holdSync(token);
  const tablet = t.clientOf(me, "TABLET", token);
  await tablet.sync();
  takesKeys();
  await upload(tablet);
  expect((await tablet.sync({ e2ee: {} }))["e2ee"]).toEqual(UPLOADED);
  t.hs.setKeys(token, { signed_curve25519: 50 }, ["signed_curve25519"]);
  t.hs.holdSync(token, false);
  await t.hs.waitForPoll(token);
  expect((await tablet.sync({ e2ee: {} }))["e2ee"]).toEqual(UPLOADED);
});
