import { expect, it } from "vitest";
import { toDevice, v2 } from "../support/fake-homeserver.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const UNKNOWN = { errcode: "M_UNKNOWN_TOKEN" };

it("I10 D2 B57: a revoked token gets 401, a waiting request at once, and is not sent to the homeserver again", async () => {
  const alice = t.login("@alice:test", "PHONE");
  const first = await alice.sync({ to_device: {} });
  await t.hs.waitForPoll(alice.token);
  const waiting = alice.request({}, { since: first.next, timeout: 60_000 });
  t.hs.revoke(alice.token);
  const refused = await waiting;
  expect([refused.status, refused.body]).toEqual([401, expect.objectContaining(UNKNOWN)]);
  const asked = t.hs.seen({ token: alice.token }).length;
  for (let i = 0; i < 5; i++) {
    const reply = await alice.request({}, { since: first.next });
    expect([reply.status, reply.body]).toEqual([401, expect.objectContaining(UNKNOWN)]);
  }
  expect(t.hs.seen({ token: alice.token })).toHaveLength(asked);
});

it("I10 D2: soft_logout is as the homeserver says, and what was stored waits for a newer token of the device", async () => {
  const alice = t.login("@soft:test", "PHONE");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
  t.hs.revoke(alice.token, true);
  const refused = await alice.request({}, { since: first.next, timeout: 60_000 });
  const reply = refused.status === 200 ? await alice.request({}, { since: refused.body.next, timeout: 60_000 }) : refused;
  expect([reply.status, reply.body]).toEqual([401, expect.objectContaining({ ...UNKNOWN, soft_logout: true })]);
  const again = t.refresh(alice);
  expect((await again.sync({}, { since: first.next }))["to_device"].events).toHaveLength(1);
});
