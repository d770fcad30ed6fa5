import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SINGLE_CHANGES } from "../support/account-changes.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { Json } from "../support/events.ts";
import { Follower } from "../support/follow.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { ALL_ROOMS, INTENDED_DIFFERENCES, MORE, NARROWED, SCOPES, topicOf } from "../support/intended-differences.ts";
import { ServerPair, type Comparison } from "../support/server-pair.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { SlidingConnection } from "../support/sliding-connection.ts";
import { elementEncryption, elementNotifications, elementRoomList, elementWeb, oneList } from "../support/sliding-requests.ts";
import type { TestUser } from "../support/synapse-api.ts";
import {
  ALL_ROOMS_WINDOWS,
  FILTERS,
  GROWING,
  NARROWED_STATES,
  REFUSED,
  STATES,
  TIMELINES,
  WINDOWS,
  extensionScopes,
  scopedRequest,
} from "../support/sliding-variants.ts";
import { devices, toDevice, type Contains } from "../support/answer-contains.ts";
import { differencesOf, intentionOf, inWords, type Difference, type IntendedDifference } from "../support/tree-difference.ts";
import { VariedAccount, type RoomLabel } from "../support/varied-account.ts";

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let tap: HomeserverTap;
let front: Front;
let account: VariedAccount;
/** The device whose answers are compared, on both sides. */
let app: TestUser;
/** What both sides are asked of rooms, from one change to the next. */
let list: ServerPair;
let web: ServerPair;
let narrow: ServerPair;
let fence: Follower;

beforeAll(async () => {
  account = await VariedAccount.make(users, "diff");
  app = await users.login("diff-alice", "APP");
  database = await freshDatabase();
  tap = await new HomeserverTap(homeserver).start();
  front = await new Front(tap.url, database.options, { publicUrl: "https://matrix.example.org" }).start();
  fence = new Follower(front.client(app));
  await settled();
  await account.invite();
  await settled();
  [list, web, narrow] = [pair("room-list"), pair("web", NARROWED), pair("narrow")];
});
afterAll(async () => {
  await front.stop();
  await tap.stop();
  await database.drop();
});

/** The same device on both sides, unless the other side has one of its own. */
function pair(connId: string, topic?: string, nativeUser = app, ourUser = nativeUser): ServerPair {
  const native = new SlidingConnection(() => homeserver, nativeUser.accessToken, connId);
  // Another name, so that it is another connection even where both are the homeserver's.
  const ours = new SlidingConnection(() => front.url, ourUser.accessToken, `${connId}-2`);
  return new ServerPair(native, ours, account.labelOf, topic);
}

const toId = (label: RoomLabel) => account.room(label);

/** Rows of the table that something was meant by. */
const used = new Set<IntendedDifference>();

function expectSame(...comparisons: readonly Pick<Comparison, "differences">[]): void {
  const unintended = (difference: Difference) => {
    const intention = intentionOf(difference, INTENDED_DIFFERENCES);
    if (intention) used.add(intention);
    return !intention;
  };
  expect(comparisons.flatMap(({ differences }) => differences.filter(unintended).map(inWords))).toEqual([]);
}

/** Sees to it that we have what the homeserver has: what comes after it in one v2 stream has come. */
let settledCount = 0;
async function settled(): Promise<void> {
  settledCount += 1;
  const count = settledCount;
  await account.setData("test.settled", { count });
  await fence.step({ account_data: {} });
  const there = (answer: Json) => JSON.stringify(answer["account_data"] ?? "").includes(`{"count":${count}}`);
  if (!fence.answers.slice(-1).some(there)) await fence.until(there);
}

const NARROW = oneList({ ranges: [[0, 2]], timeline_limit: 5, required_state: [["m.room.topic", ""]] });

/** Some more requests on new connections, each compared. */
async function expectSameFirst(...bodies: readonly Json[]): Promise<void> {
  const comparisons = [];
  for (const [index, body] of bodies.entries()) comparisons.push(await pair(`once-${index}`, topicOf(body)).ask(body));
  expectSame(...comparisons);
}

describe("M64: first answers", () => {
  it("Element X's room list, and as its window grows", async () => {
    expectSame(await list.ask(elementRoomList(20)));
    expectSame(await list.ask(elementRoomList(100)));
    expectSame(await list.ask(elementRoomList(100)));
  });

  it("Element X's notifications", () => expectSameFirst(elementNotifications((["named", "long", "kicked"] as const).map(toId))));

  it("Element Web's lists", async () => {
    expectSame(await web.ask(elementWeb((["redacted", "crowd"] as const).map(toId))));
    expectSame(await web.ask(elementWeb([])));
  });

  it("a window of few rooms with more of their timeline", async () => expectSame(await narrow.ask(NARROW)));

  it.each(FILTERS.map((filters) => [JSON.stringify(filters), filters] as const))("filters %s", async (_, filters) => {
    await expectSameFirst(oneList({ timeline_limit: 0, filters }), oneList({ timeline_limit: 0, ranges: [[1, 2]], filters }));
  });

  it.each(STATES.map((state) => [JSON.stringify(state), state] as const))("%s", (_, state) => expectSameFirst(oneList(state)));

  it.each(NARROWED_STATES.map((state) => [JSON.stringify(state), state] as const))("%s", async (_, state) => {
    expectSame(await pair("narrowed", NARROWED).ask(oneList(state)));
  });

  it.each(TIMELINES)("timelines of %i events", (timeline_limit) => expectSameFirst(oneList({ timeline_limit })));

  it.each(WINDOWS.map((window) => [JSON.stringify(window), window] as const))("a window %s", (_, window) => expectSameFirst(oneList(window)));

  it.each(ALL_ROOMS_WINDOWS.map((window) => [JSON.stringify(window), window] as const))("a window %s", async (_, window) => {
    const { ours, differences } = await pair("all", ALL_ROOMS).ask(oneList(window));
    expectSame({ differences });
    expect(Object.keys(ours.rooms)).toHaveLength(Number(ours.lists?.["l"]?.["count"]));
  });

  it("rooms and lists that extensions are asked for", async () => {
    await account.bob.typing(account.room("dm"), true);
    await account.bob.typing(account.room("related"), true);
    await settled();
    for (const scope of extensionScopes(account)) expectSame(await pair("scope", SCOPES).ask(scopedRequest(account, scope)));
    // Else it ends by itself, at another moment on either side.
    for (const label of ["dm", "related"] as const) await account.bob.typing(account.room(label), false);
  });

  it("T20 M34: prev_batch of timelines of each length leads to exactly what is older", async () => {
    await expectSameFirst(...[1, 2, 3, 7, 20].map((timeline_limit) => oneList({ timeline_limit })));
  });

  it.each(REFUSED)("%s is refused", async (name, body) => {
    const [native, ours] = await Promise.all(
      [homeserver, front.url].map(async (url) => {
        const { status, body: answer } = await new SlidingConnection(() => url, app.accessToken, "refused").request(body);
        return { status, errcode: answer["errcode"] };
      }),
    );
    expect(native?.status).toBe(400);
    expectSame({ differences: differencesOf(native, ours, ["refused", name]) });
  });
});

describe("M64: what happens, one thing after the other", () => {
  it.each(SINGLE_CHANGES)("%s", async (_, happens) => {
    const woken = await list.wake(elementRoomList(100), () => happens(account, app));
    await settled();
    expectSame(woken, await list.ask(elementRoomList(100)), await web.ask(elementWeb([])), await narrow.ask(NARROW));
  });
});

describe("M64: what happens while no request waits", () => {
  const expectSameNow = async (): Promise<void> => {
    await settled();
    expectSame(await list.ask(elementRoomList(100)), await web.ask(elementWeb([])), await narrow.ask(NARROW));
  };

  it("more messages than the timeline may have", async () => {
    for (let i = 0; i < 8; i += 1) await account.bob.send(account.room("named"), `one of many, ${i}`);
    await account.alice.setState(account.room("named"), "m.room.topic", "", { topic: "of many" });
    await account.bob.send(account.room("named"), "the last of many");
    await expectSameNow();
  });

  it("more messages than come in one piece", async () => {
    for (let i = 0; i < 55; i += 1) await account.bob.send(account.room("long"), `one of very many, ${i}`);
    await expectSameNow();
  });

  it("a change of a name in all rooms", async () => {
    const { bob } = account;
    const everywhere = new SlidingConnection(() => homeserver, bob.accessToken, "everywhere");
    const body = oneList({ required_state: [["m.room.member", bob.userId]] });
    await everywhere.ask(body);
    const { joined_rooms } = await bob.call<{ joined_rooms: string[] }>("GET", "/joined_rooms");
    await bob.call("PUT", `/profile/${encodeURIComponent(bob.userId)}/displayname`, { displayname: "Robert" });
    // The homeserver goes from room to room when it has answered already.
    const missing = new Set(joined_rooms);
    while (missing.size > 0) {
      const { rooms } = await everywhere.ask(body, { timeout: 10_000 });
      for (const [roomId, { required_state }] of Object.entries(rooms))
        if (JSON.stringify(required_state ?? "").includes("Robert")) missing.delete(roomId);
    }
    await expectSameNow();
  });

  it("joins and leaves that undo each other", async () => {
    const room = account.room("long");
    for (const action of ["join", "leave", "join"] as const) await account.carol[action](room);
    for (const action of ["leave", "join"] as const) await account.alice[action](room);
    await expectSameNow();
  });

  it("an invite that is withdrawn at once", async () => {
    const room = account.label(await account.bob.createRoom({ preset: "private_chat", name: "Gone", invite: [account.alice.userId] }), "gone");
    await account.bob.kick(room, account.alice.userId);
    await expectSameNow();
  });

  it("a room that is made, joined and talked in", async () => {
    const room = account.label(await account.alice.createRoom({ preset: "public_chat", name: "New" }), "new");
    await account.bob.join(room);
    for (const text of ["first", "second"]) await account.bob.send(room, text);
    await expectSameNow();
  });
});

describe("M64: connections", () => {
  it("the same position again has the same answer, with another body another one", async () => {
    const body = oneList({ timeline_limit: 2, ranges: [[0, 4]] });
    const again = pair("again");
    await again.ask(body);
    const before = again.positions;
    for (const label of ["dm", "encrypted"] as const) await account.bob.send(account.room(label), "once");
    await settled();
    const comparisons = [await again.ask(body, before), await again.ask(body, before)];
    comparisons.push(await again.ask(oneList({ timeline_limit: 10, ranges: [[0, 9]], required_state: [["m.room.create", ""]] }), before));
    await account.bob.send(account.room("dm"), "twice");
    await settled();
    comparisons.push(await again.ask(body, before), await again.ask(body));
    expectSame(...comparisons);
  });

  it("a room that has fallen out of the window comes back with what was missed", async () => {
    const body = oneList({ timeline_limit: 3, ranges: [[0, 0]], required_state: [["m.room.topic", ""]] });
    const window = pair("window");
    const comparisons = [await window.ask(body)];
    const say = async (label: RoomLabel, ...texts: string[]): Promise<void> => {
      for (const text of texts) await account.bob.send(account.room(label), text);
      await settled();
      comparisons.push(await window.ask(body));
    };
    await say("dm", "here");
    await account.bob.send(account.room("dm"), "missed");
    await say("named", "here");
    await say("dm", "back");
    for (const text of ["missed", "as well", "and this", "and that"]) await account.bob.send(account.room("named"), text);
    await account.alice.setState(account.room("named"), "m.room.topic", "", { topic: "missed" });
    await say("dm", "still");
    await say("named", "back");
    await say("old version", "new here");
    expectSame(...comparisons);
  });

  it("rooms that are opened, more of which is asked for, and closed", async () => {
    const open = pair("open");
    const ids = (["long", "dm", "kicked", "left", "not joined", "invite withdrawn"] as const).map((label) => account.room(label));
    const comparisons = [await open.ask(elementRoomList(5))];
    for (const openRooms of [ids, ids, ids.slice(0, 1), [], ids]) {
      await account.bob.send(account.room("long"), "while open or not");
      await settled();
      comparisons.push(await open.ask(elementRoomList(5, openRooms)));
    }
    expectSame(...comparisons);
  });

  it("timelines and state of which more is asked for, and less, and more again", async () => {
    const room = account.room("named");
    const more = pair("more", MORE);
    const comparisons = [];
    const told = { native: new Set<unknown>(), ours: new Set<unknown>() };
    for (const [timeline_limit, ...required_state] of GROWING) {
      const comparison = await more.ask({ room_subscriptions: { [room]: { timeline_limit, required_state } } });
      for (const side of ["native", "ours"] as const) {
        for (const event of (comparison[side].rooms[room]?.["required_state"] ?? []) as Json[]) told[side].add(event["event_id"]);
      }
      comparisons.push(comparison);
      await account.alice.setState(room, "m.room.topic", "", { topic: `as of ${comparisons.length}` });
      await settled();
    }
    expectSame(...comparisons);
    expect(told.ours).toEqual(told.native);
  });

  it("filters whose rooms change", async () => {
    const changing = pair("changing");
    const filtered = oneList({ filters: { tags: ["m.favourite"] }, required_state: [["m.room.name", ""]] });
    const comparisons = [await changing.ask(filtered)];
    for (const label of ["old version", "crowd", "dm"] as const) {
      await account.setTag(account.room(label), "m.favourite", 0.2);
      await account.bob.send(account.room(label), "a favourite");
      await settled();
      comparisons.push(await changing.ask(filtered));
    }
    expectSame(...comparisons);
  });

  it("go on when we start again", async () => {
    await account.bob.send(account.room("named"), "before");
    await settled();
    await front.stop();
    await account.bob.send(account.room("named"), "in between");
    await front.start();
    await account.bob.send(account.room("dm"), "afterwards");
    await settled();
    expectSame(await list.ask(elementRoomList(100)), await web.ask(elementWeb([])), await narrow.ask(NARROW));
  });
});

describe("M64: keys and to-device messages", () => {
  it("come to a device of either side alike", async () => {
    const devicesOf = [await users.login("diff-alice", "NATIVE"), await users.login("diff-alice", "OURS")] as const;
    const encryption = pair("encryption", undefined, ...devicesOf);
    const comparisons = [await encryption.ask(elementEncryption)];
    const { alice, bob } = account;
    const happens = async (what: () => Promise<unknown>, told: Contains) => {
      const tell = async (): Promise<Contains> => {
        await what();
        return told;
      };
      comparisons.push(await encryption.wake(elementEncryption, tell));
    };
    const toBoth = (text: string) => bob.sendToDevice("test.hello", { [alice.userId]: { NATIVE: { text }, OURS: { text } } });
    await happens(() => toBoth("one"), toDevice("one"));
    await happens(() => toBoth("two"), toDevice("two"));
    await happens(() => users.login("diff-bob", "SECOND"), devices(bob.userId));
    const one_time_keys = Object.fromEntries(["A", "B", "C"].map((name) => [`signed_curve25519:${name}`, { key: name, signatures: {} }]));
    const fallback_keys = { "signed_curve25519:F": { key: "F", fallback: true, signatures: {} } };
    for (const device of devicesOf) await device.call("POST", "/keys/upload", { one_time_keys, fallback_keys });
    // Neither of these wakes; the message does, with the counts.
    await happens(() => toBoth("three"), toDevice("three"));
    for (let i = 0; i < 150; i += 1) await toBoth(`one of many, ${i}`);
    await happens(() => toBoth("last of many"), toDevice("last of many"));
    expectSame(...comparisons);
  });
});

describe("M64: after all that", () => {
  it("someone is ignored", async () => {
    await account.setData("m.ignored_user_list", { ignored_users: { [account.mallory.userId]: {}, [account.carol.userId]: {} } });
    await account.carol.send(account.room("with an ignored user"), "not to be read");
    await account.bob.send(account.room("with an ignored user"), "to be read");
    await settled();
    expectSame(await list.ask(elementRoomList(100)), await web.ask(elementWeb([])), await narrow.ask(NARROW));
  });

  it("first answers of what was learned by and by", async () => {
    await settled();
    await expectSameFirst(elementRoomList(20), elementRoomList(100), NARROW);
    await expectSameFirst(...FILTERS.map((filters) => oneList({ timeline_limit: 0, filters })), ...STATES.map(oneList));
  });

  it("every difference that is meant is there", () => {
    expect(INTENDED_DIFFERENCES.filter((row) => !used.has(row) && !row.sometimes)).toEqual([]);
  });

  it("syncv3 answered all of this itself; no sync request was passed to the homeserver", () => {
    expect(tap.requests.map(({ path }) => path).filter((path) => path.includes("org.matrix.simplified_msc3575"))).toEqual([]);
  });
});
