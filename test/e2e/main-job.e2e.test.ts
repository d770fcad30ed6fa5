import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Follower } from "../support/follow.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { Json, TestUser } from "../support/synapse-api.ts";
import type { Answer } from "../support/v3.ts";

type Event = { type: string; event_id: string; sender: string; room_id: string; state_key?: string; content: Record<string, unknown> };

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
let alice: TestUser;
let bob: TestUser;

beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
  alice = await users.registerUser("main-alice");
  bob = await users.registerUser("main-bob");
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

const ids = (events: Event[]) => events.map((event) => event.event_id);

describe("one account, one room, every stream, in front of a real homeserver", () => {
  it("first answers and long polls that wake", async () => {
    const roomId = await alice.createRoom({ preset: "public_chat", name: "First room", topic: "of many" });
    await bob.join(roomId);
    const sent = await alice.send(roomId, "before");

    const session = new Follower(front.client(alice));
    const first = await session.step({
      typing: { room_id: roomId },
      to_device: {},
      room_members: { room_id: roomId },
      room: { room_id: roomId },
      room_list: { timeline_limit: 5 },
      account_data: {},
      invites: {},
      receipts: { room_id: roomId },
      e2ee: {},
    });
    expect(first["room_list"]).toMatchObject({ count: 1, rooms: [{ room_id: roomId, name: "First room", joined_count: 2, is_dm: false }] });
    expect(first["room"].rooms[roomId].initial).toBe(true);
    expect(ids(first["room"].rooms[roomId].timeline.events)).toContain(sent);
    expect(first["room_members"].events.map((event: Event) => event.state_key)).toEqual([alice.userId, bob.userId]);
    expect(first["typing"]).toEqual({ events: [] });
    expect(first["to_device"]).toEqual({ limit: 100, events: [] });

    const typing = session.until((answer) => answer["typing"]?.events.at(-1)?.content.user_ids.includes(bob.userId));
    await bob.typing(roomId, true);
    await typing;

    const message = session.until((answer) =>
      answer["room"]?.rooms[roomId]?.timeline?.events.find((e: Event) => e.sender === bob.userId && e.type === "m.room.message"),
    );
    const reply = await bob.send(roomId, "after");
    expect((await message).event_id).toBe(reply);

    const key = session.until((answer) => answer["to_device"]?.events[0]);
    await bob.sendToDevice("m.test", { [alice.userId]: { [alice.deviceId]: { hello: "device" } } });
    expect(await key).toMatchObject({ type: "m.test", sender: bob.userId, content: { hello: "device" } });

    const receipt = session.until((answer) => answer["receipts"]?.rooms[roomId]?.content[reply]?.["m.read"]?.[bob.userId]);
    await bob.readReceipt(roomId, reply);
    await receipt;

    const renamed = session.until((answer) => answer["room_list"]?.rooms.find((room: { name?: string }) => room.name === "Renamed"));
    await alice.setState(roomId, "m.room.name", "", { name: "Renamed" });
    await renamed;

    const left = session.until((answer) =>
      answer["room_members"]?.events.find((e: Event) => e.state_key === bob.userId && e.content["membership"] === "leave"),
    );
    await bob.leave(roomId);
    await left;
  });

  it("M12: a DM: invited, seen in invites, joined, in the list as a DM while m.direct names it", async () => {
    const session = new Follower(front.client(bob));
    await session.step({ invites: {}, room_list: { filters: { is_dm: true } } });
    const invited = session.until((answer) => Object.keys(answer["invites"]?.rooms ?? {})[0]);
    const roomId = await alice.createRoom({ preset: "trusted_private_chat", is_direct: true, invite: [bob.userId] });
    expect(await invited).toBe(roomId);
    const joined = session.until((answer) => answer["invites"]?.gone?.includes(roomId));
    await bob.join(roomId);
    await joined;
    const setDirect = (content: Json) => bob.call("PUT", `/user/${encodeURIComponent(bob.userId)}/account_data/m.direct`, content);
    const listed = session.until((answer) => answer["room_list"]?.rooms.find((room: { room_id: string }) => room.room_id === roomId));
    await setDirect({ [alice.userId]: [roomId] });
    expect(await listed).toMatchObject({ is_dm: true, name: "main-alice" });
    const undirected = session.until((later) => later["room_list"]?.removed?.includes(roomId));
    await setDirect({});
    await undirected;
  });

  it("a kick: the leave is the last of the room, then nothing, and its streams are refused (D18)", async () => {
    const roomId = await alice.createRoom({ preset: "public_chat", name: "Kicked from" });
    await bob.join(roomId);
    const session = new Follower(front.client(bob));
    const listed = (answer: Answer) => answer["room_list"]?.rooms.some((room: { room_id: string }) => room.room_id === roomId);
    if (!listed(await session.step({ room_list: {}, room: { room_id: roomId } }))) await session.until(listed);
    const lost = session.until((answer) => answer["room"]?.errcode === "M_FORBIDDEN" && answer);
    await alice.kick(roomId, bob.userId);
    const last = await lost;
    const events: Event[] = last["room"].rooms[roomId].timeline.events;
    expect(events.at(-1)).toMatchObject({ type: "m.room.member", state_key: bob.userId, content: { membership: "leave" } });
    expect(last["room_list"].removed).toEqual([roomId]);
    await alice.send(roomId, "not for bob");
    expect(Object.keys(await session.step({}, 500))).toEqual(["next"]);
  });

  it("a gap: 200 events between two polls come as limited, with the state that changed and a token for the rest", async () => {
    const roomId = await alice.createRoom({ preset: "public_chat", name: "Before the gap" });
    await bob.join(roomId);
    const session = new Follower(front.client(bob));
    await session.step({ room: { room_id: roomId, timeline_limit: 10 } });
    await front.stop();
    for (let i = 0; i < 100; i += 1) await alice.send(roomId, `message ${i}`);
    await alice.setState(roomId, "m.room.name", "", { name: "After the gap" });
    let last = "";
    for (let i = 100; i < 200; i += 1) last = await alice.send(roomId, `message ${i}`);
    await front.start();
    // What came of the room before the server stopped is in an answer of its own.
    const room = await session.until((answer) => answer["room"]?.rooms[roomId]?.timeline?.limited && answer["room"].rooms[roomId]);
    expect(ids(room.timeline.events).at(-1)).toBe(last);
    expect(room.timeline.events).toHaveLength(10);
    expect(room.state.events.map((e: Event) => [e.type, e.content["name"]])).toContainEqual(["m.room.name", "After the gap"]);
    const path = `/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=100&from=${encodeURIComponent(room.timeline.prev_batch)}`;
    const { chunk } = await bob.at(front.url).call<{ chunk: Event[] }>("GET", path);
    expect(chunk.some((event) => event.content["body"] === "message 189")).toBe(true);
  });
});
