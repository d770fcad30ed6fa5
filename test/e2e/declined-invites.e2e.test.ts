/** T8: a room that the user declined to enter, and entered later. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { APIS, followRooms } from "../support/room-follower.ts";
import { eventsBefore, followTimeline, type Piece, timelineUpTo } from "../support/room-timeline.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";

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

/** The timeline of one poll, see v2-filter.ts. */
const POLLED = 50;

async function messages(user: TestUser, room: string, howMany: number, text: string): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (let n = 1; n <= howMany; n += 1) await user.send(room, `${text} ${n}`);
}

const POLLS: Readonly<Record<string, { readonly away: boolean; readonly reject: "leave" | "ban" }>> = {
  "declined; the join is polled by itself": { away: false, reject: "leave" },
  "declined; the join comes with messages after it": { away: true, reject: "leave" },
  "banned while invited; the join is polled by itself": { away: false, reject: "ban" },
};

it.each(Object.keys(POLLS))(
  "T8: an invite and a later join: the timeline that v2 brought, and all that was before by /messages: %s",
  async (name) => {
    const { away = false, reject } = POLLS[name] ?? {};
    const id = Object.keys(POLLS).indexOf(name);
    const me = await users.registerUser(`t8-alice-${id}`);
    const bob = await users.registerUser(`t8-bob-${id}`);
    const room = await bob.createRoom({ preset: "public_chat" });
    await messages(bob, room, 40, "before");
    const live = APIS.map((api) => followTimeline(front.client(me), api, room, "live"));
    const pending = followRooms(front.client(me), "v3", "");
    await Promise.all([pending.step(), ...live.map((step) => step())]);

    await bob.invite(room, me.userId);
    while (!pending.memberships()[room]) await pending.step(10_000);
    const moderate = (what: "ban" | "unban") => bob.call("POST", `/rooms/${encodeURIComponent(room)}/${what}`, { user_id: me.userId });
    await (reject === "ban" ? moderate("ban") : me.leave(room));
    while (pending.memberships()[room]) await pending.step(10_000);
    if (reject === "ban") await moderate("unban");

    if (away) await front.stop();
    await messages(bob, room, 30, "between");
    await me.join(room);
    await messages(bob, room, 5, "after");
    if (away) await front.start();
    const first = await Promise.all(live.map((step) => timelineUpTo(step, "after 5")));
    await messages(bob, room, 35, "at last");
    const then = await Promise.all(live.map((step) => timelineUpTo(step, "at last 35")));

    const truth = (await eventsBefore(me, room)).toReversed();
    const expectRight = async (what: string, { events, limited, prevBatch }: Piece): Promise<void> => {
      expect(limited, what).toBe(true);
      expect(events.length, what).toBeGreaterThanOrEqual(POLLED + 35);
      const before = await eventsBefore(me.at(front.url), room, prevBatch);
      expect([...before.toReversed(), ...events.map((event) => event.event_id)], what).toEqual(truth);
    };
    for (const [index, api] of APIS.entries()) {
      const [began, wentOn] = [first[index], then[index]];
      if (began && wentOn) await expectRight(`live ${api}`, { ...began, events: [...began.events, ...wentOn.events] });
      await expectRight(`fresh ${api}`, await timelineUpTo(followTimeline(front.client(me), api, room, "fresh"), "at last 35"));
    }
  },
);
