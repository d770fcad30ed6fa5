/** Requests that are under way while their device is deleted: 401, R11 or M_UNKNOWN_POS, and no error in the log (D2, T18). */

import { expect, it, onTestFinished } from "vitest";
import { ev } from "./support/fake-homeserver.ts";
import { testLog } from "./support/logged.ts";
import { scene } from "./support/scene.ts";
import { DIALECTS, SlidingClient } from "./support/sliding.ts";
import { ALL } from "./support/sliding-waits.ts";
import { type Reply, type V3Client, v3Server } from "./support/v3.ts";

const log = testLog();
const t = v3Server({ logger: log.logger, workers: 1 });

/** Prepares a request that changes rows of its device, and gives it. */
type Prepare = (client: V3Client, room: string) => Promise<() => Promise<Reply>>;

const LIST = { room_list: { p: { limit: 1 } } };

const REQUESTS: Readonly<Record<string, Prepare>> = {
  "v3, a new session": async (client) => () => client.request({ account_data: {} }),
  "v3, a session that goes on": async (client) => {
    const { next } = await client.sync({ to_device: {} });
    return () => client.request({}, { since: next });
  },
  "v3, a page": async (client) => {
    const { next, ...first } = await client.sync(LIST);
    return () => client.request({ room_list: { p: { since: first["room_list"].p.next } } }, { since: next });
  },
  ...Object.fromEntries(
    DIALECTS.flatMap((dialect): [string, Prepare][] => [
      [`sliding sync, a new connection (${dialect})`, async (client) => () => new SlidingClient(client, dialect).request(ALL)],
      [
        `sliding sync, to-device messages (${dialect})`,
        async (client) => {
          const sliding = new SlidingClient(client, dialect);
          const ext = { to_device: { enabled: true } };
          const { pos } = await sliding.sync({ ...ALL, ext });
          await t.sql`delete from sessions where kind = 'sliding' and account = (select account from accounts where user_id = ${client.userId})`;
          return () => sliding.request({ ...ALL, ext }, { pos });
        },
      ],
    ]),
  ),
  "v2 sync": async (client) => () => client.fetch("GET", "/_matrix/client/v3/sync?timeout=0"),
  "an event is sent": async (client, room) => {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/m1`;
    t.hs.on("PUT", path, { body: { event_id: "$sent" } });
    return () => client.fetch("PUT", path, "{}");
  },
};

/** Resolves when a statement about sessions or devices waits for a lock. */
async function somethingWaits(): Promise<void> {
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- until it does
    const waiting = await t.sql`
      select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query ~ 'session|sent_events|key share|no key update' and query !~ 'seen_at|leases'`;
    if (waiting.length > 0) return;
  }
}

it.each(Object.keys(REQUESTS))("D2: the device is deleted while its request is under way: %s", async (name) => {
  const one = scene(t, { timeline: [ev.message("@bob:test")] });
  const { client } = one;
  await client.sync();
  await t.hs.waitForPoll(client.token);
  const ask = await REQUESTS[name]?.(client, one.room);
  const deleting = await t.sql.reserve();
  onTestFinished(() => deleting.release());
  await deleting`begin`;
  await deleting`select from accounts where user_id = ${one.me} for update`;
  await deleting`delete from devices where account = (select account from accounts where user_id = ${one.me})`;
  await deleting`delete from accounts where user_id = ${one.me}`;
  const reply = ask?.();
  await Promise.race([somethingWaits(), reply]);
  await deleting`commit`;
  t.hs.revoke(client.token);
  const { status, text } = (await reply) ?? {};
  expect([200, 400, 401], text).toContain(status);
  expect(log.text()).not.toMatch(/"level":(?:50|"error")/);
});
