/** Which endpoints the homeserver lacks (M98): it is asked once. */

import { expect, it, onTestFinished } from "vitest";
import { ev, newRoom, v2 } from "./support/fake-homeserver.ts";
import { startV3, v3Server } from "./support/v3.ts";

const t = v3Server({ workers: 1 });
const SUMMARY = /room_summary/;
const PATH = "/_matrix/client/v1/room_summary/%21a%3Atest";

const signedIn = async (user: string) => {
  const client = t.login(user, "PHONE", v2({ join: { "!a:test": { state: [...newRoom("@alice:test"), ev.member(user)] } } }));
  await client.sync();
  return client;
};

it("M98: the homeserver is asked until it says whether it has the endpoint, and then no more for a while", async () => {
  const client = await signedIn("@one:test");
  t.hs.fail({ path: SUMMARY }, { status: 503, body: { errcode: "M_UNKNOWN", error: "starting" } }, 2);
  expect((await client.fetch("GET", PATH)).status).toBe(503);
  expect((await client.fetch("GET", PATH)).body).toMatchObject({ room_id: "!a:test" });
  const asked = t.hs.seen({ path: SUMMARY }).length;
  expect((await client.fetch("GET", PATH)).status).toBe(200);
  expect((await (await signedIn("@two:test")).fetch("GET", PATH)).status).toBe(200);
  expect(t.hs.seen({ path: SUMMARY })).toHaveLength(asked);
});

it("M98: where the homeserver has it, its answer is passed on as it is, whatever it says", async () => {
  const client = await signedIn("@three:test");
  t.hs.on("GET", "/_matrix/client/unstable/im.nheko.summary/summary/:room", ({ params }) =>
    params["room"] === "!a:test"
      ? { body: { room_id: "!a:test", name: "The homeserver's" } }
      : { status: 404, body: { errcode: "M_NOT_FOUND", error: "Unknown room" } },
  );
  const path = (room: string) => `/_matrix/client/unstable/im.nheko.summary/summary/${encodeURIComponent(room)}`;
  expect((await client.fetch("GET", path("!b:test"))).body).toEqual({ errcode: "M_NOT_FOUND", error: "Unknown room" });
  expect((await client.fetch("GET", path("!a:test"))).body).toEqual({ room_id: "!a:test", name: "The homeserver's" });
});

it.each([
  ["a page of a reverse proxy", 404, "<html>Not Found</html>"],
  ["405 without a Matrix error", 405, "Method Not Allowed"],
  ["400 M_UNRECOGNIZED, as of old", 400, { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" }],
])("M98: %s says that it has none", async (_name, status, body) => {
  const fresh = await startV3({ workers: 1 });
  onTestFinished(() => fresh.stop());
  fresh.hs.on("GET", PATH.replace("%21a%3Atest", ":room"), { status, body });
  const client = fresh.login("@me:test", "PHONE", v2({ join: { "!a:test": { state: [...newRoom("@alice:test"), ev.member("@me:test")] } } }));
  await client.sync();
  expect((await client.fetch("GET", PATH)).body).toMatchObject({ room_id: "!a:test" });
});
