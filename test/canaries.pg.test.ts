/** What users say, and their tokens, stay out of the log at its loudest and out of every refusal; tokens stand nowhere in the database. */

import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LOGGER_OPTIONS } from "../src/base/logger.ts";
import { ev, newRoom, toDevice, v2 } from "./support/fake-homeserver.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { ALL } from "./support/sliding-waits.ts";
import { startV3, type V3Client, type V3Fixture } from "./support/v3.ts";

const CANARY = "canary-that-nobody-may-hear";
const [ME, BOB, ROOM] = ["@canary:test", "@bob:test", "!canary:test"];
const lines: string[] = [];
let t: V3Fixture;
let client: V3Client;

beforeAll(async () => {
  t = await startV3({ logger: pino({ ...LOGGER_OPTIONS, level: "trace" }, { write: (line) => void lines.push(line) }) });
  const says = ev.message(BOB, CANARY);
  client = t.login(
    ME,
    "PHONE",
    v2({
      join: {
        [ROOM]: {
          state: [...newRoom(ME), ev.member(BOB), ev.name(ME, CANARY)],
          timeline: [says],
          account_data: [{ type: "m.tag", content: { CANARY } }],
        },
      },
      invite: { "!invite:test": [ev.name(BOB, CANARY)] },
      account_data: [{ type: "m.direct", content: { [BOB]: [CANARY] } }],
      presence: [{ type: "m.presence", sender: BOB, content: { status_msg: CANARY } }],
      to_device: [toDevice(BOB, { CANARY })],
    }),
  );
});
afterAll(() => t.stop());

/** The error's body, of a request that is refused. */
const refusals: string[] = [];
const refused = (reply: { readonly status: number; readonly text: string }): void => {
  expect(reply.status).toBeGreaterThanOrEqual(400);
  refusals.push(reply.text);
};

test("through all faces, good and bad requests, and a homeserver in trouble", async () => {
  const everything = {
    room_list: {},
    room: { room_id: ROOM },
    room_members: { room_id: ROOM },
    invites: {},
    account_data: {},
    to_device: {},
    presence: {},
    e2ee: {},
  };
  const first = await client.sync(everything);
  expect(JSON.stringify(first)).toContain(CANARY);
  for (const dialect of DIALECTS) {
    const phone = new SlidingClient(client, dialect);
    const { pos } = await phone.sync({ ...ALL, ext: { to_device: { enabled: true }, account_data: { enabled: true } } });
    refused(await phone.post(`{"conn_id":"${CANARY}", "lists": {"${CANARY}":`));
    refused(await phone.post({ lists: { all: { timeline_limit: CANARY } } }));
    refused(await phone.request(ALL, { pos: `${pos}${CANARY}` }));
  }
  refused(await client.request(`{"${CANARY}":`));
  refused(await client.request({ room: { room_id: 5, timeline_limit: CANARY } }));
  refused(await client.request({}, { since: `${first.next}${CANARY}` }));
  // What passes, and what does not.
  const send = `/_matrix/client/v3/rooms/${encodeURIComponent(ROOM)}/send/m.room.message/1?access_token=${client.token}`;
  t.hs.fail({ path: /\/send\// }, { status: 500, body: "<html>oops" });
  await client.fetch("PUT", send, JSON.stringify({ body: CANARY }));
  refused(await client.fetch("GET", `/nowhere?access_token=${client.token}&q=${CANARY}`));
  // The homeserver answers nonsense, and what cannot be stored. (What it says of itself in `error` is for the log.)
  t.hs.fail({ path: /\/sync$/ }, { body: `{"${CANARY}":` });
  t.hs.fail({ path: /\/sync$/ }, { status: 502, body: `<html>${CANARY}` });
  await t.deliver(client, v2({ join: { [ROOM]: { timeline: [ev.message(BOB, `${CANARY} again`)] } } }));
  await t.deliver(
    client,
    v2({ join: { [ROOM]: { timeline: [ev.message(BOB, `${CANARY}\u0000`), { ...ev.message(BOB), origin_server_ts: CANARY }] } } }),
  );
  // A token that dies, and one that never was.
  t.hs.revoke(client.token);
  await t.hs.waitForRequest({ token: client.token, where: (request) => request.status === 401 });
  // The poller has its answer a moment before it is known here.
  await expect.poll(async () => (await client.request({}, { since: first.next })).status, { timeout: 10_000 }).toBe(401);
  refused(await client.request({}, { since: first.next }));
  refused(await t.clientOf(ME, "PHONE", `${CANARY}-token`).request({}));

  const log = lines.join("");
  expect(lines.length).toBeGreaterThan(20);
  for (const text of [log, ...refusals]) {
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain(client.token);
  }
});

test("no access token is in the database in a readable form", async () => {
  const tables = await t.sql<{ name: string }[]>`select relname as name from pg_stat_user_tables`;
  expect(tables.length).toBeGreaterThan(25);
  const forms = [client.token, Buffer.from(client.token).toString("hex"), Buffer.from(client.token).toString("base64")];
  for (const { name } of tables) {
    const rows = await t.sql<{ row: string }[]>`select r::text as row from ${t.sql(name)} r`;
    for (const { row } of rows) for (const form of forms) expect(row, name).not.toContain(form);
  }
});
