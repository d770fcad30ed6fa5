import { expect, test } from "vitest";
import { v2 } from "../../test/support/fake-homeserver.ts";
import { v3Server } from "../../test/support/v3.ts";

const t = v3Server();

const SEND = "/_matrix/client/v3/rooms/!a:test/send/m.room.message";

test("the sends of devices that we hold are stored, each once", async () => {
  t.hs.on("PUT", `${SEND}/:txn`, ({ params }) => ({ body: { event_id: `$${params["txn"]}` } }));
  const alice = t.login("@alice:test", "PHONE", v2());
  await alice.sync();
  const tablet = t.login("@alice:test", "TABLET");
  const bob = t.login("@bob:test");
  for (const client of [alice, alice, tablet, bob]) {
    expect(await client.fetch("PUT", `${SEND}/m1`, "{}")).toMatchObject({ status: 200, body: { event_id: "$m1" } });
  }
  expect(await t.sql`select event_id, device_id, txn_id from sent_events join devices using (device)`).toEqual([
    { event_id: "$m1", device_id: "PHONE", txn_id: "m1" },
  ]);
});

test("they are deleted with their device, and a database without the table fails no send", async () => {
  const carol = t.login("@carol:test", "PHONE", v2());
  await carol.sync();
  await carol.fetch("PUT", `${SEND}/m2`, "{}");
  const count = async () => (await t.sql`select from sent_events where txn_id = 'm2'`).length;
  expect(await count()).toBe(1);
  await carol.fetch("POST", "/_matrix/client/v3/logout", "{}");
  expect(await count()).toBe(0);
  const dave = t.login("@dave:test", "PHONE", v2());
  await dave.sync();
  await t.sql`alter table sent_events rename to away`;
  expect(await dave.fetch("PUT", `${SEND}/m3`, "{}")).toMatchObject({ status: 200, body: { event_id: "$m3" } });
  await t.sql`alter table away rename to sent_events`;
});
