import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { hasProxy, type ReverseProxy, startProxy } from "../support/reverse-proxies.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { SlidingClient, timelineIds } from "../support/sliding.ts";
import { V3Client } from "../support/v3.ts";

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;

beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

describe.for(["nginx", "caddy"] as const)("behind %s as README.md has it (skipped where it is not installed)", (name) => {
  const installed = hasProxy(name);
  let proxy: ReverseProxy;
  beforeAll(async () => {
    if (installed) proxy = await startProxy(name, Number(new URL(front.url).port));
  });
  afterAll(async () => {
    if (installed) await proxy.stop();
  });

  it.runIf(installed)("M55 M53: versions, polls that wake, an upload and a download, a passed v2 sync", async () => {
    const direct = await users.registerUser(`behind-${name}`);
    const alice = direct.at(proxy.url);
    const versions = await alice.call<{ unstable_features: Record<string, boolean> }>("GET", "/_matrix/client/versions");
    expect(versions.unstable_features["org.matrix.simplified_msc3575"]).toBe(true);
    const roomId = await alice.createRoom({ name: "Behind" });

    const client = new V3Client(() => proxy.url, alice.userId, alice.deviceId, alice.accessToken);
    for (const dialect of ["unstable", "v4"] as const) {
      const phone = new SlidingClient(client, dialect);
      const ask = { connId: dialect, lists: { all: { ranges: [[0, 9]] as const, limit: 1 } } };
      const first = await phone.sync(ask);
      expect(first.lists["all"]?.count).toBe(1);
      const waiting = phone.sync(ask, { pos: first.pos, timeout: 30_000 });
      const sent = await direct.send(roomId, "through two servers");
      expect(timelineIds((await waiting).rooms[roomId])).toEqual([sent]);
    }
    const v3 = await client.sync({ room: { room_id: roomId } });
    const waiting = client.sync({}, { since: v3.next, timeout: 30_000 });
    await direct.send(roomId, "and on the other API");
    expect((await waiting)["room"].rooms[roomId].timeline.events).toHaveLength(1);

    const file = Buffer.alloc(3 * 1024 * 1024, "a file ");
    const uploaded = await client.fetch("POST", "/_matrix/media/v3/upload?filename=a.txt", file.toString(), { "content-type": "text/plain" });
    const [, media] = /^mxc:\/\/(.+)$/.exec(String(uploaded.body["content_uri"])) ?? [];
    const downloaded = await client.fetch("GET", `/_matrix/client/v1/media/download/${media}`);
    expect(downloaded.text.length).toBe(file.length);
    expect(downloaded.headers.get("content-security-policy")).toContain("sandbox");
    expect((await alice.call<{ next_batch: string }>("GET", "/sync?timeout=0")).next_batch).not.toBe("");
  });
});
