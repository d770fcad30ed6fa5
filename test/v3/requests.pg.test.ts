/** The request and its errors. */

import { describe, expect, it } from "vitest";
import { scene, typingOf } from "../support/scene.ts";
import { v3Server } from "../support/v3.ts";

const UNKNOWN_SESSION = '{"errcode":"M_UNKNOWN_SYNC_SESSION","error":"Session unknown or expired"}';
const PATH = "/_matrix/client/v3/sync";

const t = v3Server();

describe("the request", () => {
  it("R1 R3 R13: POST on the constant path starts a session and answers with `next`", async () => {
    const { client } = scene(t);
    const reply = await client.request({});
    expect(reply.status).toBe(200);
    expect(Object.keys(reply.body)).toEqual(["next"]);
    expect((await client.request({}, { since: reply.body.next })).status).toBe(200);
  });

  it("B23 D1: answers are JSON with CORS headers, OPTIONS too, and other methods get 405", async () => {
    const { client } = scene(t);
    const reply = await client.request({});
    expect(reply.headers.get("content-type")).toMatch(/^application\/json/);
    expect(reply.headers.get("access-control-allow-origin")).toBe("*");
    const options = await client.fetch("OPTIONS", PATH);
    expect(options.status).toBeLessThan(300);
    expect(options.headers.get("access-control-allow-methods")).toContain("POST");
    for (const method of ["PUT", "DELETE"]) {
      const other = await client.fetch(method, PATH, "{}");
      expect([other.status, other.body["errcode"]]).toEqual([405, "M_UNRECOGNIZED"]);
    }
  });

  it("R4 R5 R13: one key a stream, and only the streams that were named", async () => {
    const { client, room } = scene(t);
    const answer = await client.sync({ typing: { room_id: room }, invites: {} });
    expect(Object.keys(answer).sort()).toEqual(["invites", "next", "typing"]);
  });

  it("R5 R14 R22: typing takes a room_id and answers with full EDUs of that room", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    await type("@bob:test", "@eve:test");
    expect(await client.sync({}, { since: first.next })).toMatchObject({
      typing: { events: [{ type: "m.typing", room_id: room, content: { user_ids: ["@bob:test", "@eve:test"] } }] },
    });
  });

  it("D8: a stream's first answer has it even when empty, and lists are never null", async () => {
    const { client, room } = scene(t);
    const reply = await client.request({
      typing: { room_id: room },
      to_device: {},
      room_members: { room_id: room },
      room: { room_id: room },
      room_list: {},
      invites: {},
      account_data: {},
      receipts: { room_id: room },
      presence: {},
      e2ee: {},
    });
    expect(Object.keys(reply.body).sort()).toEqual([
      "account_data",
      "e2ee",
      "invites",
      "next",
      "presence",
      "receipts",
      "room",
      "room_list",
      "room_members",
      "to_device",
      "typing",
    ]);
    expect(reply.text).not.toContain("null");
  });

  it("D8 B32: no news is exactly `next`, and the streams without news are absent from an answer with some", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room }, invites: {}, to_device: {}, account_data: {}, room_members: { room_id: room } });
    expect(Object.keys(await client.sync({}, { since: first.next }))).toEqual(["next"]);
    await type("@bob:test");
    expect(Object.keys(await client.sync({}, { since: first.next })).sort()).toEqual(["next", "typing"]);
  });
});

describe("D2: the requester", () => {
  it("R2 D2: a token in the query is refused, and the text says why", async () => {
    const { client } = scene(t);
    const response = await fetch(`${t.url}${PATH}?access_token=${client.token}`, { method: "POST", body: "{}" });
    const body = (await response.json()) as { errcode: string; error: string };
    expect([response.status, body.errcode]).toEqual([401, "M_MISSING_TOKEN"]);
    expect(body.error).toContain("access_token");
  });

  it("D2 B20 B21: no token, or one that the homeserver does not know, gets 401 and leaves no trace", async () => {
    const accounts = await t.sql`select from accounts`;
    const none = await fetch(t.url + PATH, { method: "POST", body: "{}" });
    expect([none.status, ((await none.json()) as { errcode: string }).errcode]).toEqual([401, "M_MISSING_TOKEN"]);
    const wrong = await fetch(t.url + PATH, { method: "POST", body: "{}", headers: { authorization: "Bearer nonsense" } });
    expect([wrong.status, ((await wrong.json()) as { errcode: string }).errcode]).toEqual([401, "M_UNKNOWN_TOKEN"]);
    expect(await t.sql`select from accounts`).toHaveLength(accounts.length);
  });
});

it("D2: masquerading with ?user_id= is refused", async () => {
  const { client } = scene(t);
  const reply = await client.fetch("POST", `${PATH}?user_id=%40eve%3Atest`, "{}");
  expect([reply.status, reply.body["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
});

describe("D3: since", () => {
  it("R11 D3: unknown, malformed, altered and foreign tokens all get the same answer", async () => {
    const { client } = scene(t);
    const { client: other } = scene(t);
    const { next } = await client.sync({});
    const altered = `${next.slice(0, -1)}${next.endsWith("A") ? "B" : "A"}`;
    const secondDevice = t.login(client.userId, "TABLET");
    for (const [who, since] of [
      [client, "invalid"],
      [client, ""],
      [client, "1"],
      [client, "s2082982339_757284961_1_2_3_4_5_6_7"],
      [client, "V3_S1_F6_12_19_11"],
      [client, altered],
      [client, `${next}A`],
      [client, "\u0000"],
      [client, "é".repeat(200)],
      [other, next],
      [secondDevice, next],
    ] as const) {
      const reply = await who.request({}, { since });
      expect([reply.status, reply.text], since).toEqual([400, UNKNOWN_SESSION]);
    }
  });

  it("R12 D3: after R11 the client calls again without since and continues", async () => {
    const { client, room, type } = scene(t);
    expect((await client.request({}, { since: "gone" })).status).toBe(400);
    const first = await client.sync({ typing: { room_id: room } });
    await type("@bob:test");
    expect(typingOf(await client.sync({}, { since: first.next }))).toEqual([["@bob:test"]]);
  });

  it("D12: tokens are URL-safe and at most 255 characters", async () => {
    const { client, room } = scene(t);
    let since: string | undefined;
    for (const body of [
      {},
      { typing: { room_id: room }, to_device: {}, room_list: {}, e2ee: {}, room_members: { room_id: room } },
      { room: { room_id: room } },
    ]) {
      since = (await client.sync(body, { since })).next;
      expect(since).toMatch(/^[\w.~-]{1,255}$/);
    }
  });
});

describe("D5: bodies", () => {
  it("B15 D5: absent and empty bodies are {}", async () => {
    const { client } = scene(t);
    expect((await client.fetch("POST", PATH)).status).toBe(200);
    expect((await client.fetch("POST", PATH, "")).status).toBe(200);
    expect((await client.fetch("POST", PATH, " \n")).status).toBe(200);
  });

  it("D5: Content-Type is ignored", async () => {
    const { client, room } = scene(t);
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "nonsense"]) {
      const reply = await client.fetch("POST", PATH, JSON.stringify({ typing: { room_id: room } }), { "content-type": type });
      expect([reply.status, typingOf(reply.body)], type).toEqual([200, []]);
    }
  });

  it("D5 B16: what is not JSON, trailing garbage too, gets 400 M_NOT_JSON", async () => {
    const { client } = scene(t);
    for (const text of ["{", "{} x", "nonsense", '{"typing":{}}}', "{'a':1}"]) {
      const reply = await client.request(text);
      expect([reply.status, reply.body["errcode"]], text).toEqual([400, "M_NOT_JSON"]);
    }
  });

  it("D5: the wrong shape gets 400 M_BAD_JSON that names the field", async () => {
    const { client } = scene(t);
    for (const [text, field] of [
      ['{"typing":{"room_id":1}}', "typing.room_id"],
      ['{"to_device":[]}', "to_device"],
      ['{"room_list":{"p":{"limit":"x"}}}', "room_list.p.limit"],
    ] as const) {
      const reply = await client.request(text);
      expect([reply.status, reply.body["errcode"]], text).toEqual([400, "M_BAD_JSON"]);
      expect(reply.body["error"]).toContain(field);
    }
    for (const text of ["[]", "1", '"x"', "null"]) {
      const reply = await client.request(text);
      expect([reply.status, reply.body["errcode"]], text).toEqual([400, "M_BAD_JSON"]);
    }
  });

  it("D5: over 1 MiB gets 413 M_TOO_LARGE, up to it is fine", async () => {
    const { client } = scene(t);
    const body = (bytes: number) => `{"x":"${"a".repeat(bytes - 8)}"}`;
    expect((await client.request(body(1024 * 1024))).status).toBe(200);
    const reply = await client.request(body(1024 * 1024 + 1));
    expect([reply.status, reply.body["errcode"]]).toEqual([413, "M_TOO_LARGE"]);
  });

  it("D5 B16: unknown keys, unknown streams and other spellings are ignored", async () => {
    const { client, room } = scene(t);
    const answer = await client.sync({
      Typing: { room_id: room },
      room_member: {},
      initial_sync: {},
      next: 1,
      typing: { room_id: room, Room_id: 1, colour: "red", p: { since: "x" } },
    });
    expect(Object.keys(answer).sort()).toEqual(["next", "typing"]);
    expect(typingOf(answer)).toEqual([]);
  });

  it("B3: a refused request changes neither parameters nor acknowledgements", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    expect((await client.request({ typing: null, to_device: 1 }, { since: first.next })).status).toBe(400);
    await type("@bob:test");
    expect(typingOf(await client.sync({}, { since: first.next }))).toEqual([["@bob:test"]]);
  });
});

describe("D6: timeout", () => {
  it("D6: anything but a non-negative integer gets 400 M_INVALID_PARAM", async () => {
    const { client } = scene(t);
    for (const timeout of ["-1", "1.5", "x", "", " 1", "1e3", "0x10", "null"]) {
      const reply = await client.request({}, { timeout });
      expect([reply.status, reply.body["errcode"]], timeout).toEqual([400, "M_INVALID_PARAM"]);
    }
  });

  it("B31 D6: a huge one is clamped and waits like any other", async () => {
    const { client, room, type } = scene(t);
    let { next } = await client.sync({ typing: { room_id: room } });
    for (const timeout of ["300001", "99999999999", "9".repeat(400)]) {
      const waiting = client.sync({}, { since: next, timeout });
      await type(`@typist${timeout.length}:test`);
      const answer = await waiting;
      expect(typingOf(answer)).toEqual([[`@typist${timeout.length}:test`]]);
      next = answer.next;
    }
  });

  it("D6: the default is 0", async () => {
    const { client, room } = scene(t);
    const { next } = await client.sync({ typing: { room_id: room } });
    expect(Object.keys(await client.sync({}, { since: next }))).toEqual(["next"]);
  });
});
