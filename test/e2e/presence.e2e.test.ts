/** Presence between users of a real homeserver: what one asks for is what the others see, and nobody is shown online who did not ask. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL } from "../support/sliding-waits.ts";

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

type PresenceEvent = { readonly sender: string; readonly content: { readonly presence: string } };

describe.each(DIALECTS)("presence (%s)", (dialect) => {
  it("M75 M78 M79: others see what a user's client says, then offline; nobody else is ever shown online", { timeout: 200_000 }, async () => {
    const [alice, bob, carol] = await Promise.all([
      users.registerUser(`presence-alice-${dialect}`),
      users.registerUser(`presence-bob-${dialect}`),
      users.registerUser(`presence-carol-${dialect}`),
    ]);
    const room = await alice.createRoom({ preset: "public_chat" });
    await Promise.all([bob.join(room), carol.join(room)]);
    const phoneOf = (user: typeof alice) => new SlidingClient(front.client(user), dialect);
    const [alicePhone, bobPhone, carolPhone] = [phoneOf(alice), phoneOf(bob), phoneOf(carol)];

    // Carol's client is one for push notifications: it asks for no room.
    const push: Ask = { ext: { to_device: { enabled: true } }, more: { set_presence: "online" } };
    const pushed = await carolPhone.sync(push);
    void carolPhone.sync(push, { pos: pushed.pos, timeout: 60_000 }).catch(() => {});

    // Bob's says that he is not here.
    const watching: Ask = { ...ALL, ext: { presence: { enabled: true } }, more: { set_presence: "offline" } };
    const seen: string[] = [];
    let { pos } = await bobPhone.sync(watching);
    const watch = async (until: (now: Record<string, string>) => boolean) => {
      for (const now: Record<string, string> = {}; !until(now);) {
        // oxlint-disable-next-line no-await-in-loop -- each goes on where the last one ended
        const answer = await bobPhone.sync(watching, { pos, timeout: 20_000 });
        ({ pos } = answer);
        for (const { sender, content } of (answer.extensions["presence"]?.events ?? []) as PresenceEvent[]) {
          now[sender] = content.presence;
          seen.push(`${sender} ${content.presence}`);
        }
      }
    };

    const here: Ask = { ...ALL, more: { set_presence: "online" } };
    const first = await alicePhone.sync(here);
    await alicePhone.sync(here, { pos: first.pos });
    await watch((now) => now[alice.userId] === "online");
    // She does not come again.
    await watch((now) => now[alice.userId] === "offline");
    expect(seen.filter((one) => /(bob|carol).* online/.test(one))).toEqual([]);
    const status = async (user: typeof alice) => (await bob.call("GET", `/presence/${encodeURIComponent(user.userId)}/status`))["presence"];
    expect([await status(bob), await status(carol)]).toEqual(["offline", "offline"]);
  });
});
