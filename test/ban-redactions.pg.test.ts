import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "./support/fake-homeserver.ts";
import { sentAgo, shownTexts } from "./support/message-times.ts";
import { v3Server } from "./support/v3.ts";

const [BOB, EVE] = ["@bob:test", "@eve:test"];
const t = v3Server({ supervision: { rereadMs: 100 } });
let count = 0;

const banOf = (content: Json, membership = "ban", sender = BOB): MatrixEvent => ev.member(EVE, membership, content, { sender });

/** A user in a room with two messages of Eve's, one before and one after Bob's. */
async function roomWithEve() {
  count += 1;
  const [room, me] = [`!ban${count}:test`, `@ban${count}:test`];
  const [first, other, second] = [ev.message(EVE, "spam 1"), sentAgo(0, "of Bob's"), ev.message(EVE, "spam 2")];
  const section = { state: [...newRoom(BOB), ev.member(EVE), ev.member(me)], timeline: [first, other, second] };
  const client = t.login(me, "PHONE", v2({ join: { [room]: section } }));
  expect(await shownTexts(client, room)).toEqual(["spam 1", "of Bob's", "spam 2"]);
  const deliver = (...timeline: MatrixEvent[]) => t.deliver(client, v2({ join: { [room]: { timeline } } }));
  const asked = () => t.hs.seen({ path: /\/event\// }).filter(({ path }) => decodeURIComponent(path).includes(`${room}/`));
  return { room, me, client, first, second, deliver, asked };
}

/** What the homeserver says of Eve's events from now on. */
function answerEvents(over: Json): void {
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", (request) => ({
    body: { event_id: request.params["event"], type: "m.room.message", sender: EVE, origin_server_ts: 1, ...over },
  }));
}

const redacted = { content: {}, unsigned: { redacted_because: { type: "m.room.member" } } };

describe("a ban that asks for the user's events to be redacted", () => {
  it.each([
    ["redact_events", "ban"],
    ["org.matrix.msc4293.redact_events", "leave"],
  ])(
    "T5: %s: true in a %s: the homeserver has done so: so it is here, asked with one event, in every API and for cached rooms",
    async (key, membership) => {
      answerEvents(redacted);
      const { room, client, deliver, asked, second } = await roomWithEve();
      await deliver(banOf({ [key]: true }, membership));
      await expect.poll(() => shownTexts(client, room)).toEqual([null, "of Bob's", null]);
      expect(asked().map(({ params }) => params["event"])).toEqual([second.event_id]);
      expect(await t.sql`select from events where body like '%spam%' and event_id = ${second.event_id}`).toEqual([]);
      const shown = (await client.sync({ room: { room_id: room } }))["room"].rooms[room].timeline.events as MatrixEvent[];
      expect(shown[0]).toMatchObject({
        content: {},
        unsigned: { redacted_because: { type: "m.room.member", state_key: EVE, content: { membership } } },
      });
      await expect.poll(() => t.sql`select from rereads`).toEqual([]);
    },
  );

  it("T5: what the user says after a return is shown", async () => {
    answerEvents(redacted);
    const { room, client, deliver } = await roomWithEve();
    const back = ev.message(EVE, "sorry");
    await deliver(banOf({ redact_events: true }), banOf({}, "leave"), ev.member(EVE), back);
    await expect.poll(() => shownTexts(client, room)).toEqual([null, "of Bob's", null, "sorry"]);
  });

  it("T5: another account in the room sees the same, without a question of its own", async () => {
    answerEvents(redacted);
    const { room, client, deliver, asked, first, second } = await roomWithEve();
    const ban = banOf({ redact_events: true });
    const other = t.login(
      `@other${count}:test`,
      "PHONE",
      v2({ join: { [room]: { state: [...newRoom(BOB), ev.member(`@other${count}:test`)], timeline: [first, second] } } }),
    );
    await other.sync({ room_list: {} });
    await deliver(ban);
    await expect.poll(() => shownTexts(client, room)).toEqual([null, "of Bob's", null]);
    await t.deliver(other, v2({ join: { [room]: { timeline: [ban] } } }));
    await expect
      .poll(async () => (await other.sync({ room: { room_id: room } }))["room"].rooms[room].timeline.events[0].unsigned)
      .toHaveProperty("redacted_because");
    expect(asked()).toHaveLength(1);
  });

  it("T5: the homeserver has not: shown", async () => {
    answerEvents({ content: { body: "spam 2" } });
    const { room, client, deliver, asked } = await roomWithEve();
    await deliver(banOf({ redact_events: true }));
    await expect.poll(() => t.sql`select from rereads`).toEqual([]);
    expect(asked()).toHaveLength(1);
    expect(await shownTexts(client, room)).toEqual(["spam 1", "of Bob's", "spam 2"]);
  });

  it("T5: the homeserver does not give the event: shown", async () => {
    t.hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", { status: 404, body: { errcode: "M_NOT_FOUND", error: "no" } });
    const { room, client, deliver } = await roomWithEve();
    await deliver(banOf({ redact_events: true }));
    await expect.poll(() => t.sql`select from rereads`).toEqual([]);
    expect(await shownTexts(client, room)).toEqual(["spam 1", "of Bob's", "spam 2"]);
  });

  it("T5: nothing is asked without the flag, or if the user left", async () => {
    const { deliver, asked } = await roomWithEve();
    await deliver(banOf({ redact_events: "true" }), banOf({ redact_events: true }, "leave", EVE), banOf({ redact_events: true }, "invite"));
    expect(await t.sql`select from rereads`).toEqual([]);
    expect(asked()).toEqual([]);
  });
});
