/** N1: what becomes of a membership that changes more than once between two polls, so that one v2 answer names the room in several sections. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { APIS, followRooms, freshV2Memberships } from "../support/room-follower.ts";
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

/** What alice (`me`) and bob, who has made the room, do there. */
type Deeds = (who: { readonly me: TestUser; readonly bob: TestUser; readonly room: string }) => Promise<void>;
type Section = "join" | "invite" | "knock" | "leave";
type History = {
  readonly before: Deeds;
  readonly meanwhile: Deeds;
  /** The sections of the next v2 answer that name the room. */
  readonly sections: readonly Section[];
  /** The membership in the end; undefined: none that a v2 sync shows. */
  readonly after: Exclude<Section, "leave"> | undefined;
};

const inOrder =
  (...deeds: readonly Deeds[]): Deeds =>
  async (who) => {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    for (const deed of deeds) await deed(who);
  };
const nothing: Deeds = async () => {};
const invite: Deeds = ({ me, bob, room }) => bob.invite(room, me.userId);
const join: Deeds = ({ me, room }) => me.join(room);
const leave: Deeds = ({ me, room }) => me.leave(room);
const kick: Deeds = ({ me, bob, room }) => bob.kick(room, me.userId);
const knock: Deeds = async ({ me, room }) => void (await me.call("POST", `/knock/${encodeURIComponent(room)}`, {}));
const moderate =
  (what: "ban" | "unban"): Deeds =>
  async ({ me, bob, room }) =>
    void (await bob.call("POST", `/rooms/${encodeURIComponent(room)}/${what}`, { user_id: me.userId }));
const [ban, unban] = [moderate("ban"), moderate("unban")];
const accepted = inOrder(invite, join);

const HISTORIES = {
  "kick, invite": { before: accepted, meanwhile: inOrder(kick, invite), sections: ["invite", "leave"], after: "invite" },
  "leave, knock": { before: accepted, meanwhile: inOrder(leave, knock), sections: ["knock", "leave"], after: "knock" },
  "reject, invite": { before: invite, meanwhile: inOrder(leave, invite), sections: ["invite", "leave"], after: "invite" },
  "reject, knock": { before: invite, meanwhile: inOrder(leave, knock), sections: ["knock", "leave"], after: "knock" },
  "ban, unban, invite": { before: accepted, meanwhile: inOrder(ban, unban, invite), sections: ["invite", "leave"], after: "invite" },
  "ban, unban, knock": { before: accepted, meanwhile: inOrder(ban, unban, knock), sections: ["knock", "leave"], after: "knock" },
  "kick, invite, join": { before: accepted, meanwhile: inOrder(kick, accepted), sections: ["join"], after: "join" },
  "kick, invite, reject": { before: accepted, meanwhile: inOrder(kick, invite, leave), sections: ["leave"], after: undefined },
  "invite, join, leave": { before: nothing, meanwhile: inOrder(accepted, leave), sections: ["leave"], after: undefined },
  "invite, join": { before: nothing, meanwhile: accepted, sections: ["join"], after: "join" },
  "invite, join, kick, invite": { before: nothing, meanwhile: inOrder(accepted, kick, invite), sections: ["invite", "leave"], after: "invite" },
  "invite, reject": { before: nothing, meanwhile: inOrder(invite, leave), sections: ["leave"], after: undefined },
  "join, leave": { before: invite, meanwhile: inOrder(join, leave), sections: ["leave"], after: undefined },
  "withdrawn knock, knock": { before: knock, meanwhile: inOrder(leave, knock), sections: ["knock", "leave"], after: "knock" },
  "denied knock, invite": { before: knock, meanwhile: inOrder(kick, invite), sections: ["invite", "leave"], after: "invite" },
  "ban while invited": { before: invite, meanwhile: ban, sections: ["leave"], after: undefined },
  "ban while knocking": { before: knock, meanwhile: ban, sections: ["leave"], after: undefined },
  "answered knock, reject": { before: knock, meanwhile: inOrder(invite, leave), sections: ["leave"], after: undefined },
} as const satisfies Readonly<Record<string, History>>;

const SECTIONS = ["join", "invite", "knock", "leave"] as const;
type V2 = { readonly next_batch: string; readonly rooms?: Partial<Record<Section, Readonly<Record<string, unknown>>>> };

const knockable = { preset: "private_chat", initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }] };

/** A room for each history, as it is before the poll that comes first. */
function roomsFor(histories: readonly History[], me: TestUser, bob: TestUser): Promise<string[]> {
  return Promise.all(
    histories.map(async ({ before }) => {
      const room = await bob.createRoom(knockable);
      await before({ me, bob, room });
      return room;
    }),
  );
}

/** Plays histories in a room each, all of them between two polls, and compares what clients of each API see with a v2 sync. */
async function expectWhatV2Shows(name: string, histories: readonly History[]): Promise<void> {
  const me = await users.registerUser(`n1-alice-${name}`);
  const witness = await users.login(`n1-alice-${name}`, "WITNESS");
  const bob = await users.registerUser(`n1-bob-${name}`);
  const other = await bob.createRoom({ preset: "public_chat" });
  await me.join(other);
  const rooms = await roomsFor(histories, me, bob);
  const tell = async (n: number) => {
    await bob.sendToDevice("m.test", { [me.userId]: { [me.deviceId]: { n } } });
    return bob.send(other, `message ${n}`);
  };
  const live = APIS.map((api) => followRooms(front.client(me), api, "live"));
  const first = await tell(0);
  await Promise.all(live.map((client) => client.reach(first, 0)));

  const v2 = (query: string) => witness.call<V2>("GET", `/sync?timeout=0${query}`);
  const { next_batch: since } = await v2("");

  await front.stop();
  await Promise.all(histories.map(({ meanwhile }, index) => meanwhile({ me, bob, room: rooms[index] ?? "" })));
  const second = await tell(1);
  await front.start();
  await Promise.all(live.map((client) => client.reach(second, 1)));

  const { rooms: sections = {} } = await v2(`&since=${encodeURIComponent(since)}`);
  expect(rooms.map((room) => SECTIONS.filter((section) => sections[section]?.[room]))).toEqual(histories.map((history) => history.sections));
  const truth = await freshV2Memberships(witness);
  expect(rooms.map((room) => truth[room])).toEqual(histories.map(({ after }) => after));
  const fresh = APIS.map((api) => followRooms(front.client(me), api, "fresh"));
  await Promise.all(fresh.map((client) => client.step()));
  for (const [index, api] of APIS.entries()) {
    expect(live[index]?.memberships(), `live ${api}`).toEqual(truth);
    expect(fresh[index]?.memberships(), `fresh ${api}`).toEqual(truth);
  }

  const third = await tell(2);
  await Promise.all([...live, ...fresh].map((client) => client.reach(third, 2)));
  for (const client of live) expect(client.toDevice).toEqual([0, 1, 2]);
}

it.each(["kick, invite", "leave, knock", "reject, invite", "ban, unban, invite", "join, leave", "invite, join"] as const)(
  "N1: between two polls: %s",
  (name) => expectWhatV2Shows(name.replaceAll(", ", "-"), [HISTORIES[name]]),
);

it("N1: between two polls: these and more, each in a room of its own", () => expectWhatV2Shows("all", Object.values(HISTORIES)));
