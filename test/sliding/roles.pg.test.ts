/** One process for clients and one for the homeserver, on one database (`-role`). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { startV3, V3Fixture } from "../support/v3.ts";

let api: V3Fixture;
let poller: V3Fixture;
beforeAll(async () => {
  api = await startV3({ sliding: NOTED, role: "api" });
  poller = new V3Fixture(api.hs, api.database, { role: "poller" });
});
afterAll(async () => {
  await poller.stopServer();
  await api.stop();
});

describe.each(DIALECTS)("roles (%s)", (dialect) => {
  it("M5 M7: what the one polls, the other tells, from the first request on; neither does the other's work", async () => {
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

  it("the one that polls answers nothing but whether it is well", async () => {
    const { client } = scene(poller);
    expect((await client.fetch("GET", "/health/ready")).status).toBe(200);
    for (const path of ["/_matrix/client/v3/sync", "/_matrix/client/versions", "/"]) {
      expect((await client.fetch("GET", path)).body).toMatchObject({ errcode: "M_UNRECOGNIZED" });
    }
  });
});
