/** The list of a room's threads where the homeserver has no such endpoint (M98, M100). */

import { beforeAll, expect, it, onTestFinished } from "vitest";
import { ev, type MatrixEvent, newRoom, v2 } from "./support/fake-homeserver.ts";
import { PagedRoom } from "./support/paged-room.ts";
import { RoomRoutes } from "./support/rooms.ts";
import { startV3, v3Server, type V3Client } from "./support/v3.ts";

const t = v3Server();
const ALICE = "@alice:test";
const PATHS = ["/_matrix/client/v1/rooms", "/_matrix/client/unstable/org.matrix.msc3856/rooms"];
let routes: RoomRoutes;
let room: PagedRoom;

const reply = (root: MatrixEvent, body: string, sender = ALICE) =>
  ev.message(sender, body, { content: { msgtype: "m.text", body, "m.relates_to": { rel_type: "m.thread", event_id: root.event_id } } });

beforeAll(() => {
  routes = new RoomRoutes(t.hs);
  const [first, second] = [ev.message(ALICE, "first"), ev.message("@bad:test", "second")];
  const replies = [reply(first, "1"), reply(second, "2"), reply(second, "3", "@me:test"), reply(first, "4", "@bad:test")];
  room = new PagedRoom(routes, "!threads:test", [...newRoom(ALICE), ev.member("@me:test"), first, second, ...replies]);
  const base = "/_matrix/client/v3/rooms/:room";
  t.hs.on("GET", `${base}/event/:event`, ({ params }) => {
    const event = room.events.find(({ event_id }) => event_id === params["event"]);
    return event ? { body: { ...event } } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "no such event" } };
  });
  t.hs.on("GET", "/_matrix/client/v1/rooms/:room/relations/:event/m.thread", ({ params }) => {
    const ofThread = room.events.filter(
      ({ content }) => (content["m.relates_to"] as { event_id?: string } | undefined)?.event_id === params["event"],
    );
    return { body: { chunk: ofThread.toReversed() } };
  });
});

async function signedIn(name: string, ignored: string[] = []): Promise<V3Client> {
  const users = Object.fromEntries(ignored.map((user) => [user, {}]));
  const data = ignored.length === 0 ? {} : { account_data: [{ type: "m.ignored_user_list", content: { ignored_users: users } }] };
  const client = t.login(`@${name}:test`, "PHONE", v2({ join: { [room.id]: { state: newRoom(ALICE) } }, ...data }));
  await client.sync();
  return client;
}

const list = (client: V3Client, query: Record<string, string> = {}, base = PATHS[0]) =>
  client.fetch("GET", `${base}/${encodeURIComponent(room.id)}/threads?${new URLSearchParams(query).toString()}`);

type Listed = { content: { body: string }; unsigned: { "m.relations": { "m.thread": { latest_event: MatrixEvent; count: number } } } };
const described = (chunk: Listed[]) =>
  chunk.map(({ content, unsigned }) => {
    const { latest_event, count } = unsigned["m.relations"]["m.thread"];
    return `${content.body}: ${String(latest_event.content["body"])} (${count})`;
  });

it.each(PATHS)("M100: the threads in the order of their latest events, in pages (%s)", async (base) => {
  const client = await signedIn("me");
  expect(described((await list(client, {}, base)).body["chunk"])).toEqual(["first: 4 (2)", "second: 3 (2)"]);
  const page = await list(client, { limit: "1" }, base);
  expect(described(page.body["chunk"])).toEqual(["first: 4 (2)"]);
  const next = await list(client, { from: String(page.body["next_batch"]) }, base);
  expect(described(next.body["chunk"])).toEqual(["second: 3 (2)"]);
  expect(next.body).not.toHaveProperty("next_batch");
});

it("M100: only those that the user has taken part in, and nothing of users whom it ignores", async () => {
  expect(described((await list(await signedIn("me"), { include: "participated" })).body["chunk"])).toEqual(["second: 3 (2)"]);
  // The second one's root is theirs, and so is the newest reply of the first one.
  expect(described((await list(await signedIn("ignorer", ["@bad:test"]))).body["chunk"])).toEqual(["first: 1 (1)"]);
});

it.each([{ limit: "0" }, { limit: "-1" }, { limit: "x" }, { include: "some" }, { from: "s5" }, { from: "syncv3-threads~!other:test~~p1" }])(
  "M100: %j gets 400",
  async (query) => {
    expect(await list(await signedIn("me"), query)).toMatchObject({ status: 400, body: { errcode: "M_INVALID_PARAM" } });
  },
);

it("M100: a room that the homeserver does not show to the user gets the homeserver's refusal", async () => {
  const client = await signedIn("me");
  const refused = await client.fetch("GET", `${PATHS[0]}/${encodeURIComponent("!elsewhere:test")}/threads`);
  expect(refused).toMatchObject({ status: 403, body: { errcode: "M_FORBIDDEN" } });
});

it("M98: where the homeserver lists threads, its list is passed on", async () => {
  const fresh = await startV3();
  onTestFinished(() => fresh.stop());
  fresh.hs.on("GET", "/_matrix/client/v1/rooms/:room/threads", { body: { chunk: [], next_batch: "the homeserver's" } });
  const other = fresh.login("@me:test", "PHONE", v2());
  await other.sync();
  expect((await list(other)).body).toEqual({ chunk: [], next_batch: "the homeserver's" });
});
