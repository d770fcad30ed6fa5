/** Whatever the homeserver answers to a poll, its users get all that it says before and after, once and in order. */

import { describe, expect, test } from "vitest";
import type { Fault, Json } from "../support/fake-homeserver.ts";
import { v3Server } from "../support/v3.ts";
import { v3Consumer } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { firstAnswer, numbered } from "./traffic.ts";

const t = v3Server();

const json = (value: unknown): Fault => ({ body: value });
const FAULTS: Readonly<Record<string, Fault>> = {
  "429 with Retry-After": { status: 429, headers: { "retry-after": "1" }, body: { errcode: "M_LIMIT_EXCEEDED", error: "x" } },
  "429 with a Retry-After that is no number": { status: 429, headers: { "retry-after": "soon" }, body: "x" },
  "500": { status: 500, body: { errcode: "M_UNKNOWN", error: "x" } },
  "502 with HTML": { status: 502, headers: { "content-type": "text/html" }, body: "<html><h1>Bad gateway</h1></html>" },
  "504 without a body": { status: 504, body: "" },
  "200 with HTML": { headers: { "content-type": "text/html" }, body: "<html></html>" },
  "200 with an empty body": { body: "" },
  "half a JSON": { body: '{"next_batch":"x","rooms":{"join":{"!a:test":' },
  "a body that breaks off": { body: JSON.stringify({ next_batch: "x", filler: "y".repeat(5000) }), cut: 500 },
  "a list": json([]),
  null: json(null),
  "no next_batch": json({ rooms: {} }),
  "a next_batch that is a number": json({ next_batch: 5 }),
  "an empty next_batch": json({ next_batch: "" }),
  "zipped nonsense": { headers: { "content-encoding": "gzip" }, body: "this is not zipped" },
  "a redirect": { status: 302, headers: { location: "http://127.0.0.1:1/" }, body: "" },
  "204": { status: 204, body: "" },
};

let count = 0;

/** A user with a session that is told numbered things. */
async function following() {
  count += 1;
  const [me, room] = [`@fault${count}:test`, `!fault${count}:test`];
  const client = t.login(me, "PHONE", firstAnswer(me, room));
  const followers = new Followers((changed) => [v3Consumer("session", client, room, changed)]);
  await followers.begun();
  let sent = 0;
  return {
    client,
    /** @param time of the event, ms */
    say: (more: Json = {}, time?: number) => {
      t.hs.queueSync(client.token, { ...numbered(room, sent, 1, time), ...more });
      sent += 1;
    },
    untilAll: () => followers.allHave(sent),
    /** How all has come, and how it should have. */
    async end() {
      await followers.stop();
      return { came: followers.reports(sent), wanted: [{ toDevice: whole(sent), events: whole(sent) }] };
    },
  };
}

describe.concurrent("nothing is lost where a poll is answered with", () => {
  test.for(Object.entries(FAULTS))("B38 D22: %s", { timeout: 120_000 }, async ([, fault]) => {
    const user = await following();
    user.say();
    await user.untilAll();
    await t.hs.waitForPoll(user.client.token);
    const polls = t.hs.polls(user.client.token).length;
    t.hs.fail({ path: /\/sync$/, token: user.client.token }, fault, 2);
    // Ends the poll that waits; the next two meet the fault.
    user.say();
    await user.untilAll();
    user.say();
    await t.hs.waitForRequest({ path: /\/sync$/, token: user.client.token }, polls + 3, 30_000);
    await user.untilAll();
    const ended = await user.end();
    expect(ended.came).toMatchObject(ended.wanted);
  });
});

test("B26 S2: a next_batch that goes backwards brings the same messages again, and each is sent once", { timeout: 120_000 }, async () => {
  const user = await following();
  user.say({ next_batch: "forth" });
  await user.untilAll();
  user.say({ next_batch: "further" });
  await user.untilAll();
  // "forth" once more: what followed it comes a second time.
  await t.hs.waitForPoll(user.client.token);
  t.hs.fail({ path: /\/sync$/, token: user.client.token }, { body: { next_batch: "forth" } });
  user.say();
  await t.hs.waitForRequest({ path: /\/sync$/, token: user.client.token, where: ({ query }) => query.get("since") === "forth" }, 2);
  await user.untilAll();
  const ended = await user.end();
  expect(ended.came).toMatchObject(ended.wanted);
});

test("S4: if the homeserver's clock jumps, events stay in the order in which the homeserver sent them", { timeout: 120_000 }, async () => {
  const user = await following();
  for (const time of [Date.now(), 0, 32_503_680_000_000, -1, Date.now()]) user.say({}, time);
  await user.untilAll();
  const ended = await user.end();
  expect(ended.came).toMatchObject(ended.wanted);
});
