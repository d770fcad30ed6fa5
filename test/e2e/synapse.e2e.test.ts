import { expect, test } from "vitest";

import { sharedSynapse } from "../support/shared-synapse.ts";
import type { Json } from "../support/synapse-api.ts";
import { startSynapse } from "../support/synapse.ts";

test("the homeserver of the tests registers users and puppets, has rooms and syncs", async () => {
  const { users } = sharedSynapse();
  const alice = await users.registerUser("alice-of-synapse-test");
  const puppet = await users.registerPuppet("puppet-of-synapse-test");
  const roomId = await alice.createRoom({ preset: "public_chat", name: "A room" });
  await puppet.join(roomId);
  const eventId = await puppet.send(roomId, "hello");
  const second = await users.login("alice-of-synapse-test", "SECOND");
  const { rooms } = await second.call<{ rooms: { join: Record<string, { timeline: { events: Json[] } }> } }>("GET", "/sync");
  expect(rooms.join[roomId]?.timeline.events.map((event) => event["event_id"])).toContain(eventId);
});

test("a restarted homeserver keeps address, users and rooms", async () => {
  const synapse = await startSynapse();
  try {
    const bob = await synapse.users.registerUser("bob");
    const roomId = await bob.createRoom();
    await synapse.restart(() => expect(bob.call("GET", "/account/whoami")).rejects.toThrow("fetch failed"));
    expect(await bob.call("GET", "/joined_rooms")).toEqual({ joined_rooms: [roomId] });
  } finally {
    await synapse.stop();
  }
});
