/** Two users whose homeserver shows them the same events with other bodies: by each API, as it happens and from scratch (T6). */

import { expect, test } from "vitest";
import { EveryFace } from "./support/every-face.ts";
import { ev, type Json, newRoom, v2 } from "./support/fake-homeserver.ts";
import { v3Server } from "./support/v3.ts";

const t = v3Server();
const BOB = "@bob:test";
let rooms = 0;

/** What each of `seen` and `erased` finds of the words, in what it gets next by each API, and from scratch. */
async function found(faces: readonly EveryFace[], words: readonly string[]): Promise<Record<string, readonly string[]>[]> {
  return Promise.all(
    faces.map(async (face) => {
      const [next, whole] = [await face.next(), await face.whole()];
      const answers = { ...named("next", next), ...named("whole", whole) };
      return Object.fromEntries(Object.entries(answers).map(([name, text]) => [name, words.filter((word) => text.includes(word))]));
    }),
  );
}

const named = (prefix: string, answers: object) =>
  Object.fromEntries(Object.entries(answers).map(([name, answer]) => [`${prefix} ${name}`, JSON.stringify(answer)]));
const everywhere = (words: readonly string[]) =>
  Object.fromEntries(["next", "whole"].flatMap((when) => ["unstable", "v4", "v3"].map((face) => [`${when} ${face}`, words])));

test.each([["seen", "erased"] as const, ["erased", "seen"] as const])(
  "T6 I7: what an erased sender wrote, %s first, then %s",
  async (first, second) => {
    rooms += 1;
    const room = `!own${rooms}:test`;
    const shown = {
      seen: ["words-of-a-message", "words-of-a-topic", "words-of-a-member", "words-of-state"],
      erased: [],
    };
    const [message, topic, member, state] = [
      ev.message(BOB, "words-of-a-message"),
      ev.topic(BOB, "words-of-a-topic"),
      ev.member(BOB, "join", { displayname: "words-of-a-member" }),
      ev.state("org.example", "", BOB, { text: "words-of-state" }),
    ];
    const section = (kind: "seen" | "erased", ...events: Json[]) =>
      kind === "seen" ? events : events.map((event) => ({ ...event, content: event["type"] === "m.room.member" ? { membership: "join" } : {} }));
    const users = [first, second].map((kind) => {
      const me = `@${kind}${rooms}:test`;
      const client = t.login(me, "PHONE", v2({ join: { [room]: { state: section(kind, ...newRoom(me), state), timeline: [ev.message(me)] } } }));
      return { kind, client, face: new EveryFace(client, room) };
    });
    t.hs.on("GET", `/_matrix/client/v3/rooms/:room/messages`, { body: { chunk: [], start: "p" } });
    for (const { face, client } of users) {
      // oxlint-disable-next-line no-await-in-loop -- one user after the other
      await face.next();
      // oxlint-disable-next-line no-await-in-loop -- as above
      await t.hs.waitForPoll(client.token);
    }
    for (const { kind, client } of users) {
      // oxlint-disable-next-line no-await-in-loop -- one user after the other
      await t.deliver(client, v2({ join: { [room]: { timeline: section(kind, topic, member, message) } } }));
    }
    const faces = users.map(({ face }) => face);
    const result = await found(faces, shown.seen);
    for (const [n, { kind }] of users.entries()) {
      const [live, scratch] = [shown[kind].filter((words) => words !== "words-of-state"), shown[kind]];
      const expected = Object.fromEntries(Object.entries(everywhere(scratch)).map(([name, words]) => [name, name.startsWith("next") ? live : words]));
      expect(result[n], kind).toEqual(expected);
    }
  },
);

test("T6: an event that comes again with another body is shown so from then on, also where the room was cached", async () => {
  const [me, room] = ["@again:test", "!again:test"];
  const message = ev.message(BOB, "words-of-a-message");
  const client = t.login(me, "PHONE", v2({ join: { [room]: { state: newRoom(me), timeline: [message] } } }));
  const face = new EveryFace(client, room);
  const texts = async () => Object.values(await face.whole()).map((answer) => JSON.stringify(answer).includes("words-of-a-message"));
  expect([await texts(), await texts()]).toEqual([Array(3).fill(true), Array(3).fill(true)]);
  await t.hs.waitForPoll(client.token);
  await t.deliver(client, v2({ join: { [room]: { timeline: [{ ...message, content: {} }] } } }));
  expect(await texts()).toEqual(Array(3).fill(false));
});
