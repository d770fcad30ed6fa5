import { expect, it } from "vitest";
import { type Json, toDevice, v2 } from "../support/fake-homeserver.ts";
import type { FakeRequest } from "../support/fake-homeserver.ts";
import type { V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";
const presence = (user: string, state: string): Json => ({ type: "m.presence", sender: user, content: { presence: state } });
const here = (...events: Json[]) => v2({ presence: events });

/** Whether a poll asked for presence. */
const asks = (poll: FakeRequest): boolean => !(poll.query.get("filter") ?? "").includes('"presence"');
const poll = (client: V3Client, wanted: boolean) => ({
  path: /\/sync$/,
  token: client.token,
  where: (request: FakeRequest) => asks(request) === wanted,
});

/** Waits until the device's pending poll asks, or does not ask, for presence. */
async function untilPolled(client: V3Client, wanted: boolean): Promise<void> {
  const before = t.hs.seen(poll(client, wanted)).length;
  const latest = await t.hs.waitForPoll(client.token);
  if (asks(latest) === wanted) return;
  await t.hs.waitForRequest(poll(client, wanted), before + 1);
  await t.hs.waitForPoll(client.token);
}

it("presence B51: it is requested from the homeserver only while a session asks for it, and polls never mark the user as online", async () => {
  const user = t.login("@asks:test");
  const without = await user.sync({ typing: {} });
  await t.hs.waitForPoll(user.token);
  expect(t.hs.seen(poll(user, true))).toHaveLength(0);
  const first = await user.sync({ presence: {} }, { since: without.next });
  expect(first["presence"]).toEqual({ events: [] });
  await untilPolled(user, true);
  await t.deliver(user, here(presence(BOB, "online")));
  const second = await user.sync({}, { since: first.next });
  expect(second["presence"]).toEqual({ events: [presence(BOB, "online")] });
  await user.sync({ presence: null }, { since: second.next });
  await untilPolled(user, false);
  for (const one of t.hs.polls(user.token)) expect(one.query.get("set_presence")).toBe("offline");
});

it("presence: as long as one of the account's sessions asks, and until that ends", async () => {
  const user = t.login("@two:test");
  const [one] = [await user.sync({ presence: {} }), await user.sync({ presence: {} })];
  await untilPolled(user, true);
  await user.sync({ presence: null }, { since: one.next });
  const other = t.login("@two:test", "TABLET");
  await other.sync({ typing: {} });
  await t.hs.waitForPoll(other.token);
  expect(asks(await t.hs.waitForPoll(user.token))).toBe(true);
  const { body } = await user.fetch("GET", "/_matrix/client/unstable/syncv3/sessions");
  for (const { id } of body["sessions"] as { id: string }[]) await user.fetch("DELETE", `/_matrix/client/unstable/syncv3/sessions/${id}`);
  await untilPolled(user, false);
});

it("presence D10: the newest of each user, all in a first answer, then what changed", async () => {
  const user = t.login("@newest:test");
  const first = await user.sync({ presence: {} });
  await untilPolled(user, true);
  await t.deliver(user, here(presence(BOB, "online")), here(presence(BOB, "unavailable"), presence("@charlie:test", "online")));
  const second = await user.sync({}, { since: first.next });
  expect(second["presence"].events).toEqual([presence(BOB, "unavailable"), presence("@charlie:test", "online")]);
  const waiting = user.sync({}, { since: second.next, timeout: 10_000 });
  await t.deliver(user, here(presence(BOB, "unavailable")), v2({ to_device: [toDevice(BOB)] }));
  await t.deliver(user, here(presence(BOB, "offline")));
  expect((await waiting)["presence"].events).toEqual([presence(BOB, "offline")]);
  expect((await user.sync({ presence: {} }))["presence"].events).toEqual([presence("@charlie:test", "online"), presence(BOB, "offline")]);
});

it("presence: what was received before a pause is not sent as current", async () => {
  const user = t.login("@pause:test");
  const first = await user.sync({ presence: {} });
  await untilPolled(user, true);
  await t.deliver(user, here(presence(BOB, "online")));
  const second = await user.sync({}, { since: first.next });
  expect(second["presence"].events).toHaveLength(1);
  const third = await user.sync({ presence: null }, { since: second.next });
  await untilPolled(user, false);
  expect((await user.sync({ presence: {} }, { since: third.next }))["presence"]).toEqual({ events: [] });
  await untilPolled(user, true);
  expect((await user.sync({ presence: {} }))["presence"], "nor to a new session").toEqual({ events: [] });
});
