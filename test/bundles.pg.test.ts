/** What is bundled with events in `unsigned["m.relations"]`: as a fresh v2 sync would have it now (T7). */

import { expect, test } from "vitest";
import { bundlesOf, everyApi, relating } from "./support/bundles.ts";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "./support/fake-homeserver.ts";
import { SlidingClient } from "./support/sliding.ts";
import { type V3Client, v3Server } from "./support/v3.ts";

const t = v3Server();
const [BOB, EVE] = ["@bob:test", "@eve:test"];
let rooms = 0;

/** A user in a room whose timeline is limited, and which begins with `timeline`. */
function limitedRoom(timeline: readonly Json[]) {
  rooms += 1;
  const [me, room] = [`@me${rooms}:test`, `!bundles${rooms}:test`];
  const parts = { state: newRoom(me), timeline: [...timeline], limited: true, prev_batch: "p" };
  const client = t.login(me, "PHONE", v2({ join: { [room]: parts } }));
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;
  const before = () => ev.message(BOB, "before");
  t.hs.on("GET", `${path}/messages`, ({ query }) => {
    return { body: { chunk: Array.from({ length: Number(query.get("limit")) }, before), start: query.get("from"), end: `${query.get("from")}p` } };
  });
  t.hs.on("GET", `${path}/context/:event`, { body: { event: before(), state: newRoom(me) } });
  const deliver = (...events: Json[]) => t.deliver(client, v2({ join: { [room]: { timeline: events } } }));
  const ignore = (...users: string[]) =>
    t.deliver(
      client,
      v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) } }] }),
    );
  return { me, room, client, deliver, ignore, bundles: () => bundlesOf(client, room) };
}

/** As the homeserver bundles. */
const edited = (root: MatrixEvent, edit: MatrixEvent) => ({ ...root, unsigned: { age: 5, "m.relations": { "m.replace": edit } } });
const threaded = (root: MatrixEvent, latest: MatrixEvent, count: number, participated = false) => ({
  ...root,
  unsigned: { age: 5, "m.relations": { "m.thread": { latest_event: latest, count, current_user_participated: participated } } },
});
const text = (event: MatrixEvent) => `${event.event_id} ${String(event.content["body"])}`;

/** A poll that waits: until then the room has been stored. */
async function polled(client: V3Client): Promise<void> {
  await client.sync({ room_list: {} });
  await t.hs.waitForPoll(client.token);
}

test("T7: edits, thread replies and references that came later are bundled; a timeline that is not limited has no bundles", async () => {
  const [root, poll] = [ev.message(BOB, "root"), ev.message(BOB, "poll")];
  const { me, room, client, deliver, bundles } = limitedRoom([root, poll]);
  expect(await bundles()).toEqual(everyApi({}));
  const reply = relating("m.thread", me, root.event_id, "reply");
  const editOfReply = relating("m.replace", me, reply.event_id, "edit of reply");
  const edit = relating("m.replace", BOB, root.event_id, "edit");
  const notAnEdit = relating("m.replace", EVE, root.event_id, "edit by somebody else");
  const votes = [relating("m.reference", EVE, poll.event_id, "vote"), relating("m.reference", BOB, poll.event_id, "vote")] as const;
  const reaction = ev.event("m.reaction", EVE, { "m.relates_to": { rel_type: "m.annotation", event_id: root.event_id, key: "x" } });
  const live = new SlidingClient(client, "unstable");
  const asked = { lists: { all: { ranges: [[0, 99]] as const, limit: 50 } } };
  const { pos } = await live.sync(asked);
  await deliver(edit, reply, editOfReply, notAnEdit, ...votes, reaction, relating("m.replace", me, editOfReply.event_id, "edit of an edit"));
  expect(await bundles()).toEqual(
    everyApi({
      [root.event_id]: { "m.replace": text(edit), "m.thread": [text(reply), 1, true], "of latest": { "m.replace": text(editOfReply) } },
      [reply.event_id]: { "m.replace": text(editOfReply) },
      [poll.event_id]: { "m.reference": votes.map((vote) => vote.event_id) },
    }),
  );
  expect(JSON.stringify(await live.sync(asked, { pos }))).not.toContain("m.relations");
  const unlimited = ev.message(BOB, "another root");
  const whole = `!whole${room}`;
  await t.deliver(
    client,
    v2({ join: { [whole]: { timeline: [...newRoom(me), unlimited, relating("m.thread", BOB, unlimited.event_id, "reply")] } } }),
  );
  expect(await bundlesOf(client, whole)).toEqual(everyApi({}));
});

test("T7: what was redacted is not bundled: an edit, a thread's latest event with its edit, a reference, the root", async () => {
  const root = ev.message(BOB, "root");
  const replies = [1, 2].map((n) => relating("m.thread", EVE, root.event_id, `reply ${n}`)) as [MatrixEvent, MatrixEvent];
  const edits = [1, 2].map((n) => relating("m.replace", BOB, root.event_id, `edit ${n}`)) as [MatrixEvent, MatrixEvent];
  const editOfReply = relating("m.replace", EVE, replies[1].event_id, "edit of reply");
  const vote = relating("m.reference", EVE, root.event_id, "vote");
  const bundled = { ...root, unsigned: { "m.relations": { ...edited(root, edits[1]).unsigned["m.relations"], "m.reference": { chunk: [vote] } } } };
  const { deliver, bundles } = limitedRoom([bundled, ...replies, ...edits, editOfReply, vote]);
  const ofReply = { [replies[1].event_id]: { "m.replace": text(editOfReply) } };
  expect(await bundles()).toEqual(
    everyApi({
      [root.event_id]: {
        "m.replace": text(edits[1]),
        "m.thread": [text(replies[1]), 2, false],
        "of latest": { "m.replace": text(editOfReply) },
        "m.reference": [vote.event_id],
      },
      ...ofReply,
    }),
  );
  await deliver(ev.redaction(BOB, edits[1].event_id), ev.redaction(EVE, editOfReply.event_id), ev.redaction(EVE, vote.event_id));
  expect(await bundles()).toEqual(everyApi({ [root.event_id]: { "m.replace": text(edits[0]), "m.thread": [text(replies[1]), 2, false] } }));
  await deliver(ev.redaction(EVE, replies[1].event_id));
  expect(await bundles()).toEqual(everyApi({ [root.event_id]: { "m.replace": text(edits[0]), "m.thread": [text(replies[0]), 1, false] } }));
  await deliver(ev.redaction(BOB, root.event_id));
  expect(await bundles()).toEqual(everyApi({ [root.event_id]: { "m.thread": [text(replies[0]), 1, false] } }));
  await deliver(ev.redaction(EVE, replies[0].event_id));
  expect(await bundles()).toEqual(everyApi({}));
});

test("T7 D25: whom the user ignores is in no bundle; others see it", async () => {
  const root = ev.message(BOB, "root");
  const replies = [relating("m.thread", BOB, root.event_id, "reply"), relating("m.thread", EVE, root.event_id, "evil reply")] as const;
  const vote = relating("m.reference", EVE, root.event_id, "vote");
  const timeline = [threaded(root, replies[1], 2), ...replies, vote];
  const [reader, other] = [limitedRoom(timeline), limitedRoom(timeline)];
  await polled(reader.client);
  await reader.ignore(EVE);
  expect(await reader.bundles()).toEqual(everyApi({ [root.event_id]: { "m.thread": [text(replies[0]), 1, false] } }));
  expect(await other.bundles()).toEqual(everyApi({ [root.event_id]: { "m.thread": [text(replies[1]), 2, false], "m.reference": [vote.event_id] } }));
});

test("T7 T6: a bundle shows an event as the account's own v2 does", async () => {
  const root = ev.message(BOB, "root");
  const reply = relating("m.thread", EVE, root.event_id, "reply");
  const erased = { ...reply, content: {} };
  const [first, second] = [limitedRoom([root, erased]), limitedRoom([root, reply])];
  expect(await first.bundles()).toEqual(everyApi({}));
  expect(await second.bundles()).toEqual(everyApi({ [root.event_id]: { "m.thread": [text(reply), 1, false] } }));
});

test("T7: in history that was fetched, too", async () => {
  const [root, edit] = [ev.message(BOB, "root"), relating("m.replace", BOB, "$root", "edit")];
  const old = { ...root, event_id: "$root" };
  const { me, room, client, deliver } = limitedRoom([edit]);
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;
  const [older] = newRoom(me);
  t.hs.on("GET", `${path}/messages`, ({ query }) => ({
    body: query.get("from") === "p" ? { chunk: [edited(old, edit)], start: "p", end: "q" } : { chunk: [older], start: "q", end: "r" },
  }));
  t.hs.on("GET", `${path}/context/:event`, { body: { event: older, state: newRoom(me) } });
  const ofRoom = async () => (await bundlesOf(client, room))["room"];
  expect(await ofRoom()).toEqual({ $root: { "m.replace": text(edit) } });
  const [later, reply] = [relating("m.replace", BOB, "$root", "later edit"), relating("m.thread", EVE, "$root", "reply")];
  await deliver(later, reply);
  expect(await ofRoom()).toEqual({ $root: { "m.replace": text(later), "m.thread": [text(reply), 1, false] } });
  await deliver(ev.redaction(BOB, later.event_id), ev.redaction(EVE, reply.event_id));
  expect(await ofRoom()).toEqual({ $root: { "m.replace": text(edit) } });
});

test("T7: what the store does not explain is sent as it came; where it may have changed it is left out until the homeserver was asked", async () => {
  const root = ev.message(BOB, "root");
  const [unseen, newer] = [relating("m.thread", EVE, root.event_id, "unseen reply"), relating("m.thread", BOB, root.event_id, "newer reply")];
  const { room, client, deliver, bundles } = limitedRoom([threaded(root, unseen, 7)]);
  const bundled = (latest: MatrixEvent, count: number) => everyApi({ [root.event_id]: { "m.thread": [text(latest), count, false] } });
  expect(await bundles()).toEqual(bundled(unseen, 7));
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(root.event_id)}`;
  t.hs.on("GET", path, async () => {
    await opened;
    return { body: threaded(root, newer, 6) };
  });
  await deliver(ev.redaction(EVE, unseen.event_id));
  expect(await bundles()).toEqual(everyApi({}));
  await t.hs.waitForRequest({ path });
  expect(await bundles()).toEqual(everyApi({}));
  const waiting = new SlidingClient(client, "unstable");
  open();
  await expect
    .poll(async () => JSON.stringify((await waiting.sync({ lists: { all: { ranges: [[0, 9]], limit: 50 } } })).rooms), { timeout: 20_000 })
    .toContain("newer reply");
  expect(await bundles()).toEqual(bundled(newer, 6));
  expect(t.hs.seen({ path })).toHaveLength(1);
});
