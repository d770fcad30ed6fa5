/** What is erased when: canaries in everything that a homeserver tells, and a look into every table for what is left of them. */

import { expect, test } from "vitest";
import { silentLogger } from "../src/base/logger.ts";
import { RetentionJob } from "../src/upstream/retention-job.ts";
import { ev, newRoom, receipt, toDevice, v2 } from "./support/fake-homeserver.ts";
import { HOUR } from "./support/retention-fixture.ts";
import { type V3Client, v3Server } from "./support/v3.ts";
import { Hub } from "../src/feed/hub.ts";

let clock = Date.now();
const t = v3Server();

const EVERYTHING = { room_list: {}, to_device: {}, account_data: { rooms: "*" }, presence: {}, invites: {}, e2ee: {} };
let count = 0;

type Told = { readonly client: V3Client; readonly room: string; readonly canary: string; readonly since: string };

/** A user of whom each kind of thing is stored with the canary in it, also in a room. */
async function someone(): Promise<Told> {
  count += 1;
  const [me, room, canary] = [`@erased${count}:test`, `!erased${count}:test`, `canary${count}canary`];
  const client = t.login(
    me,
    "PHONE",
    v2({
      join: {
        [room]: {
          state: [...newRoom(me), ev.name(me, canary), ev.member(`@${canary}:test`)],
          timeline: [ev.message("@bob:test", canary)],
          account_data: [{ type: "m.tag", content: { tags: { [`u.${canary}`]: {} } } }],
          ephemeral: [receipt("$x", `@${canary}:test`)],
        },
      },
      invite: { [`!invite${count}:test`]: [ev.name("@bob:test", canary)] },
      account_data: [{ type: "org.example", content: { canary } }],
      to_device: [toDevice("@bob:test", { canary })],
      presence: [{ type: "m.presence", sender: "@bob:test", content: { status_msg: canary } }],
    }),
  );
  const since = (await client.sync(EVERYTHING)).next;
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ join: { [room]: { timeline: [ev.message("@bob:test", `${canary} again`)] } } }));
  return { client, room, canary, since };
}

/** Names of the tables with the text in a row. */
async function tablesWith(text: string): Promise<string[]> {
  const tables = await t.sql<{ name: string }[]>`select tablename as name from pg_tables where schemaname = 'public' order by 1`;
  const found = await Promise.all(
    tables.map(async ({ name }) => {
      const [row] = await t.sql<{ found: boolean }[]>`select exists (select from ${t.sql(name)} r where r::text like ${`%${text}%`}) as found`;
      return row?.found ? name : [];
    }),
  );
  return found.flat();
}

/** An hour goes by, with a run of retention at both ends, and another hour: what waits for the first waits no longer. */
async function hours(): Promise<void> {
  const job = new RetentionJob({ sql: t.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * HOUR, now: () => clock });
  for (let i = 0; i < 3; i += 1) {
    await job.runOnce();
    clock += HOUR + 1000;
  }
}

test("the canaries are found at all", async () => {
  const { canary } = await someone();
  expect(await tablesWith(canary)).toEqual(
    expect.arrayContaining(["account_data", "events", "invites", "members", "receipts", "room_facts", "to_device"]),
  );
});

test("D2: a log-out takes all of the user's only device at once, and bodies of events with the next run", async () => {
  const { client, canary } = await someone();
  const stays = await someone();
  const before = await tablesWith(stays.canary);
  expect((await client.fetch("POST", "/_matrix/client/v3/logout", "{}")).status).toBe(200);
  // In memory of polling, at most until it has noticed.
  await expect.poll(() => tablesWith(canary), { timeout: 10_000 }).toEqual(["events"]);
  await hours();
  expect(await tablesWith(canary)).toEqual([]);
  expect(await tablesWith(client.userId)).toEqual([]);
  expect(await tablesWith(stays.canary), "another account has lost nothing").toEqual(before);
});

test("D2: a deleted device takes its queue; the account, which has another, stays", async () => {
  const { client, canary } = await someone();
  const tablet = t.clientOf(client.userId, "TABLET", t.hs.login(client.userId, "TABLET"));
  t.hs.queueSync(tablet.token, v2({ to_device: [toDevice("@bob:test", { canary: `${canary}tablet` })] }));
  await tablet.sync(EVERYTHING);
  await t.hs.waitForPoll(tablet.token);
  expect(await tablesWith(`${canary}tablet`)).toEqual(["to_device"]);
  t.hs.on("POST", "/_matrix/client/v3/delete_devices", { body: {} });
  const gone = await client.fetch("POST", "/_matrix/client/v3/delete_devices", JSON.stringify({ devices: ["TABLET"] }));
  expect(gone.status).toBe(200);
  await expect.poll(() => tablesWith(`${canary}tablet`), { timeout: 10_000 }).toEqual([]);
  expect(await tablesWith("TABLET")).toEqual([]);
  expect(await tablesWith(canary)).toEqual(expect.arrayContaining(["account_data", "events", "to_device"]));
});

test("D2: deactivation takes everything of the account", async () => {
  const { client, canary } = await someone();
  t.hs.on("POST", "/_matrix/client/v3/account/deactivate", { body: { id_server_unbind_result: "no-support" } });
  expect((await client.fetch("POST", "/_matrix/client/v3/account/deactivate", "{}")).status).toBe(200);
  await expect.poll(() => tablesWith(canary), { timeout: 10_000 }).toEqual(["events"]);
  await hours();
  expect(await tablesWith(canary)).toEqual([]);
  expect(await tablesWith(client.userId)).toEqual([]);
});

test("D2: a forgotten room is deleted at once; a room that was left, when every session has received the departure", async () => {
  const { client, room, canary, since } = await someone();
  await t.deliver(client, v2({ leave: { [room]: { timeline: [ev.member(client.userId, "leave")] } } }));
  await hours();
  expect(await tablesWith(room), "the session has not been told").not.toEqual([]);
  const told = await client.sync({}, { since });
  await client.sync({}, { since: told.next });
  await hours();
  // That it was left and told, for clients that come back; no contents.
  expect(await tablesWith(room)).toEqual(["session_states", "standings"]);
  expect(await tablesWith(canary)).not.toContain("events");

  const other = await someone();
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(other.room)}/forget`;
  t.hs.on("POST", path, { body: {} });
  expect((await other.client.fetch("POST", path, "{}")).status).toBe(200);
  await expect.poll(() => tablesWith(`${other.canary} again`), { timeout: 10_000 }).toEqual(["events"]);
  await hours();
  expect(await tablesWith(`${other.canary} again`)).toEqual([]);
});
