/** One process for clients and one for the homeserver, on one database (`-role`). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, toDevice, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { startV3, V3Fixture } from "../support/v3.ts";

let api: V3Fixture;
let poller: V3Fixture;
beforeAll(async () => {
  api = await startV3({ sliding: NOTED, role: "api" });
  poller = new V3Fixture({ role: "poller" }, { hs: api.hs, database: api.database });
});
afterAll(async () => {
  await poller.stopServer();
  await api.stop();
});

describe.each(DIALECTS)("roles (%s)", (dialect) => {
  it("M5 M7: what one polls, the other sends, from the first request on; neither does the other's work", async () => {
    const one = scene(api);
    const phone = new SlidingClient(one.client, dialect);
    const answering = phone.sync(ALL);
    await api.hs.waitForRequest({ path: /whoami$/, token: one.client.token });
    if (dialect === DIALECTS[0]) {
      // Nobody polls yet.
      expect(api.hs.polls(one.client.token)).toEqual([]);
      await poller.start();
    }
    const first = await answering;
    expect(Object.keys(first.rooms)).toEqual([one.room]);
    const { answer } = await hangSliding(api, phone, ALL, { pos: first.pos, timeout: LONG });
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
  });

  it("T11: keys that are uploaded through the one are asked about at once by the other", async () => {
    const { client } = scene(api);
    const phone = new SlidingClient(client, dialect);
    const ext = { e2ee: { enabled: true } };
    await phone.sync({ ext });
    await api.deliver(client, v2({ one_time_keys: { signed_curve25519: 0 } }));
    const first = await phone.sync({ ext });
    api.hs.setKeys(client.token, { signed_curve25519: 49 }, []);
    api.hs.on("POST", "/_matrix/client/v3/keys/upload", { body: { one_time_key_counts: { signed_curve25519: 50 } } });
    const waiting = await api.hs.waitForPoll(client.token);
    const { answer } = await hangSliding(api, phone, { ext: { ...ext, to_device: { enabled: true } } }, { pos: first.pos, timeout: LONG });
    await client.fetch("POST", "/_matrix/client/v3/keys/upload", JSON.stringify({ one_time_keys: { "signed_curve25519:A": {} } }));
    await new Promise((resolve) => (waiting.signal.aborted ? resolve(null) : waiting.signal.addEventListener("abort", resolve)));
    await api.hs.waitForPoll(client.token);
    // What is polled then ends the wait together with it.
    await api.deliver(client, v2({ one_time_keys: { signed_curve25519: 49 }, to_device: [toDevice("@bob:test")] }));
    expect((await answer).extensions["e2ee"]).toMatchObject({ device_one_time_keys_count: { signed_curve25519: 49 } });
  });

  it("the one that polls answers nothing but whether it is well", async () => {
    const { client } = scene(poller);
    expect((await client.fetch("GET", "/health/ready")).status).toBe(200);
    for (const path of ["/_matrix/client/v3/sync", "/_matrix/client/versions", "/"]) {
      expect((await client.fetch("GET", path)).body).toMatchObject({ errcode: "M_UNRECOGNIZED" });
    }
  });
});
